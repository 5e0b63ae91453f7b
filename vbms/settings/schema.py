"""JSON Schema of vbms.yaml, for editors, from the same rows of keys that check it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from vbms.options import BOOL, CHOICE, DEVICE, INT, INTS, MILLI, TEXT, Option, Table
from vbms.settings import forms, keys
from vbms.settings.values import ANY, CURVE, LIST, Key, scale_of


def model_of(name: str, rows: Sequence[Option]) -> type[BaseModel]:
    """A model with one field a row, its type as it is written in YAML."""
    fields: dict[str, Any] = {}
    for at, row in enumerate(rows):
        schema = schema_of(row)
        default: Any = ... if row.required else schema.get("default")
        # Field names of our own: a key may be called what BaseModel itself has, such as `json`.
        fields[f"key_{at}"] = (
            Annotated[Any, WithJsonSchema(schema)],
            Field(default, alias=row.name),
        )
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _tidy(schema: Any) -> Any:
    """Without what says nothing: titles made of keys, defaults of nothing."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _tidy(item)
        for key, item in schema.items()
        if not (key == "title" and isinstance(item, str) or key == "default" and item is None)
    }


def schema_of(row: Option) -> dict[str, Any]:
    """JSON Schema of one value, as written in YAML."""
    schema: dict[str, Any] = {}
    scale = scale_of(row)
    if row.kind == BOOL:
        schema["type"] = "boolean"
    elif row.kind == CHOICE:
        schema["enum"] = list(row.choices)
    elif row.kind in (TEXT, DEVICE):
        schema["type"] = "string"
        if not isinstance(row, Key) or row.reader is None:
            schema |= _limits(row, 1, "minLength", "maxLength")
    elif row.kind == ANY:
        schema["type"] = ["integer", "string"]
    elif isinstance(row, Table):
        item = {
            "type": "object",
            "properties": {column.name: schema_of(column) for column in row.columns},
            "required": [column.name for column in row.columns if column.required],
            "additionalProperties": False,
        }
        schema |= {"type": "array", "items": item}
    elif row.kind == INTS:
        whole = {"type": "integer"}
        schema["anyOf"] = [whole, {"type": "array", "items": whole}]
    elif row.kind == CURVE:
        point = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        schema |= {"type": "array", "items": point}
    elif row.kind == LIST:
        schema |= {"type": "array", "items": {"type": "string"}, "minItems": 1}
    else:
        schema["type"] = "integer" if row.kind == INT else "number"
        schema |= _limits(row, scale, "minimum", "maximum")
        if row.unit == "baud":
            schema = {"enum": list(forms.BAUDS)}
    words = list(row.words) if isinstance(row, Key) else []
    if words:
        schema = {"anyOf": [schema, {"enum": words}]}
    if row.help:
        schema["description"] = row.help + (f" [{row.unit}]" if row.unit else "")
    if row.default is not None:
        is_milli = row.kind == MILLI and isinstance(row.default, int)
        schema["default"] = _plain(row.default, scale) if is_milli else row.default  # type: ignore[arg-type]
    return schema


def _limits(row: Option, scale: int, low: str, high: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if row.low is not None:
        found[low] = _plain(row.low, scale)
    if row.high is not None:
        found[high] = _plain(row.high, scale)
    return found


def _plain(value: int, scale: int) -> int | float:
    return value // scale if value % scale == 0 else value / scale


def json_schema(batteries: Sequence[Option], inverters: Sequence[Option]) -> dict[str, Any]:
    """JSON Schema of vbms.yaml, for editors; rows of batteries and inverters hold options too."""

    def optional(model: Any) -> Any:
        return model | None

    links: Any = None
    for kind, rows in keys.LINK_KEYS.items():
        chosen: Any = (Literal[kind], ...)
        link = create_model(f"Link {kind}", __base__=model_of(f"Line {kind}", rows), kind=chosen)
        links = link if links is None else links | link
    fault = model_of("Fault", keys.FAULT_KEYS)
    simulate = create_model(
        "Simulate",
        __base__=model_of("World", keys.SIMULATE_KEYS),
        faults=(list[fault], Field(default_factory=list)),  # type: ignore[valid-type]
    )
    web = create_model(
        "Web",
        __base__=model_of("Page", keys.WEB_KEYS),
        hosts=(list[str], Field(default_factory=list)),
    )
    relays: Any = None
    for output, rows in keys.RELAY_KEYS.items():
        said: Any = (Literal[output], ...)
        relay = create_model(
            f"Relay {output}", __base__=model_of(f"Charger {output}", rows), output=said
        )
        relays = relay if relays is None else relays | relay
    bank = model_of("Bank", (*keys.BANK_KEYS, *keys.LIMIT_KEYS))
    battery = model_of("Battery", batteries)
    inverter = model_of("Inverter", inverters)
    sections: dict[str, Any] = {
        "site": (optional(model_of("Site", keys.SITE_KEYS)), None),
        "links": (dict[str, links], ...),
        "batteries": (list[battery], ...),  # type: ignore[valid-type]
        "inverters": (list[inverter], Field(default_factory=list)),  # type: ignore[valid-type]
        "bank": (optional(bank), None),
        "web": (optional(web), None),
        "mqtt": (optional(model_of("Mqtt", keys.MQTT_KEYS)), None),
        "history": (optional(model_of("History", keys.HISTORY_KEYS)), None),
        "relays": (list[relays], Field(default_factory=list)),
        "simulate": (optional(simulate), None),
        "state_dir": (Annotated[Any, WithJsonSchema(schema_of(keys.STATE_DIR))], None),
    }
    whole = create_model("vbms.yaml", __config__=ConfigDict(extra="forbid"), **sections)
    schema = _tidy(whole.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vbms.yaml",
        **schema,
    }
