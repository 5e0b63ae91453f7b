"""Relays that switch chargers: what drives them, and who follows the decisions."""
