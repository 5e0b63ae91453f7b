"""Every shared module, imported on a board one after another; the last line says what they take."""

import gc

modules = open("modules.txt").read().split()


def load():
    __import__(modules.pop(0))


def the_end():
    print("resident", gc.mem_alloc())


TESTS = [load] * len(modules) + [the_end]
