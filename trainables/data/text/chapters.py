"""The chapters of the Python library reference, and the modules that each of them describes.

From the table of contents of https://docs.python.org/3/library/index.html for Python 3.11 to 3.14,
with the pure-Python twins of modules written in C (`_pydecimal`, `_pyio`) beside these. Chapters
with few docstrings in Python source, or none in one of these versions, are left out. A module that
a version hasn't is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

CHAPTERS: Mapping[str, tuple[str, ...]] = {
    name: tuple(modules.split())
    for name, modules in {
        "Text Processing Services": "string re difflib textwrap stringprep rlcompleter",
        "Data Types": (
            "datetime _pydatetime zoneinfo calendar collections _collections_abc heapq bisect "
            "weakref _weakrefset types copy pprint reprlib enum graphlib"
        ),
        "Numeric and Mathematical Modules": (
            "numbers decimal _pydecimal fractions random statistics"
        ),
        "Functional Programming Modules": "functools operator",
        "File and Directory Access": (
            "pathlib posixpath ntpath genericpath fileinput stat filecmp tempfile glob fnmatch "
            "linecache shutil"
        ),
        "Data Persistence": "pickle copyreg shelve dbm sqlite3",
        "Data Compression and Archiving": (
            "gzip bz2 lzma zipfile tarfile compression _compression"
        ),
        "File Formats": "csv configparser tomllib netrc plistlib",
        "Generic Operating System Services": (
            "os io _pyio argparse optparse getopt logging getpass curses platform ctypes"
        ),
        "Concurrent Execution": (
            "threading _threading_local multiprocessing concurrent subprocess sched queue"
        ),
        "Networking and Interprocess Communication": "asyncio socket ssl selectors signal",
        "Internet Data Handling": "email json mailbox mimetypes base64 quopri",
        "Structured Markup Processing Tools": "html xml _markupbase",
        "Internet Protocols and Support": (
            "webbrowser wsgiref urllib http ftplib poplib imaplib smtplib uuid socketserver "
            "xmlrpc ipaddress"
        ),
        "Program Frameworks": "turtle cmd shlex",
        "Graphical User Interfaces with Tk": "tkinter idlelib",
        "Development Tools": "typing pydoc doctest unittest",
        "Debugging and Profiling": "bdb pdb profile cProfile pstats timeit trace tracemalloc",
        "Python Runtime Services": (
            "sysconfig warnings dataclasses contextlib abc _py_abc atexit traceback inspect site"
        ),
        "Importing Modules": "zipimport pkgutil modulefinder runpy importlib",
        "Python Language Services": (
            "ast symtable tokenize tabnanny pyclbr py_compile compileall dis opcode pickletools"
        ),
    }.items()
}
"""By name, in the order of the reference."""
