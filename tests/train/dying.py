"""Workers that end badly, in a module that a new process imports quickly."""

import os
import signal

from plausible.train.workers import Note


def killed(member, job, notes):
    os.kill(os.getpid(), signal.SIGKILL)


def failing(member, job, notes):
    notes.put(Note(member, failure="Traceback: no such thing"))
