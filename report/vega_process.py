"""The process that converts charts: it reads one request per line, and answers each with a line.

It is started by `report/vega.py` as a script, without site-packages and without this package. Its
argument is the folder that holds the converter.
"""

import base64
import json
import sys


def serve() -> None:
    """Answer requests until the input ends."""
    sys.path.append(sys.argv[1])
    import vl_convert

    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"result": getattr(vl_convert, name)(*arguments)}
        except BaseException as error:  # a library in Rust that panics raises no Exception
            answer = {"error": type(error).__name__, "message": str(error)[:2000]}
        if isinstance(answer.get("result"), bytes):
            answer = {"bytes": base64.b64encode(answer["result"]).decode()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
