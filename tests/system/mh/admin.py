"""The emulator's admin interface, as a tester's program speaks to it.

    emulator = place.emulator("--admin")
    admin = Admin(emulator)
    admin.virtual("2026-01-01T00:00:00Z")
    admin.advance(days=7)
"""
import json
import ssl
import urllib.error
import urllib.request


class Refused(AssertionError):
    """An answer that is no 200: status, code and message."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body
        self.code, self.message = body.get("__type"), body.get("message")


class Admin:
    def __init__(self, emulator):
        self.root = emulator.endpoint + "/_millhand/admin/"

    def call(self, method, path, body=None, headers=None):
        """One request; answers the JSON object, or raises Refused. body: an object, or bytes as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=120, context=ssl._create_unverified_context()) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as e:
            raise Refused(e.code, json.load(e)) from None

    def get(self, path):
        return self.call("GET", path)

    def put(self, path, **members):
        return self.call("PUT", path, members)

    def post(self, path, **members):
        return self.call("POST", path, members)

    def delete(self, path):
        return self.call("DELETE", path)

    def virtual(self, start=None):
        """The clock stands still from here on, at a time of the test's choice or where it is."""
        return self.put("clock", mode="virtual", **({"start": start} if start else {}))

    def advance(self, ms=0, seconds=0, minutes=0, hours=0, days=0):
        """Moves the virtual clock; what was due in between has happened when this answers."""
        by = ms + 1000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days)))
        return self.post("clock/advance", by_ms=by)

    def now_ms(self):
        return self.get("clock")["now_ms"]
