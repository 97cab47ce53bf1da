#!/usr/bin/python3
"""The ways to the API and to the store: proxies and what they are not for, authorities of one's own, IPv6, keys."""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mh.programs import EMULATOR, Place, wait_for  # noqa: E402
from mh.proxy import Proxy  # noqa: E402
from mh.stub import Stub  # noqa: E402
from mh.tap import check, equal, run, skip, story  # noqa: E402
from mh.tls import Authority  # noqa: E402
from mh.ways import ForwardProxy, Relay  # noqa: E402
from mh.worker import FAST, action, finished, zip_of  # noqa: E402

MIB = 1 << 20
BUCKET = "bucket"
PARTS = {"upload_parts_above": "5M", "download_parts_above": "5M", "part_size": "5M"}
API, STORE = "api.example", "store.example"


class Scene:
    """The API is the stub's, the store the emulator's; the agent has a job with artifacts that go in parts."""

    def __enter__(self):
        if not os.path.exists(EMULATOR):
            skip("no emulator in this build")
        self.place, self.stub = Place(), Stub()
        self.place.__enter__()
        self.emulator = self.place.emulator()
        self.s3 = self.emulator.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.data = os.urandom(6 * MIB)
        return self

    def __exit__(self, *exc):
        self.stub.close()
        self.place.__exit__(*exc)

    def offer(self, data=None):
        with self.stub.lock:  # not offered before its input is there
            job = self.stub.job(inputs={"Src": b""}, outputs=["Out"])
            self.s3.put_object(Bucket=BUCKET, Key=job.inputs["Src"], Body=zip_of({"f": data or self.data}))
        return job

    def start(self, endpoint, store, env=None, name="agent", **keys):
        conf = self.place.agent_conf(endpoint, [action(self.place, 'cp "$MILLHAND_INPUT_SRC/f" "$MILLHAND_OUTPUT_OUT/f"')],
                                     s3_endpoint=store, **{**FAST, **PARTS, **keys})
        self.agent = self.place.agent(conf, env=env, name=name)
        return self.agent

    def done(self, job):
        finished(job, "success")
        head = self.s3.head_object(Bucket=BUCKET, Key=job.outputs["Out"])
        check(head["ETag"].endswith('-2"') and head["ContentLength"] > 6 * MIB, f"{head}")
        equal(self.stub.bad_signatures, [])


def proxies(proxy, **more):
    return dict({"http_proxy": proxy.url, "https_proxy": proxy.url, "HTTP_PROXY": proxy.url}, **more)


def hosts(proxy):
    return {host for _, host in proxy.asked}


@story
def api_and_store_go_through_the_proxy_each_unless_no_proxy_names_it():
    # An address that is no other host's, and not taken for one of this host: what no_proxy names is reached directly.
    own = "::ffff:127.0.0.1"
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError as e:
        skip(f"no IPv6 here: {e}")
    with Scene() as s, ForwardProxy({API: s.stub.port, STORE: s.emulator.port}) as proxy:
        for name, api, store, no_proxy, wanted in (
                ("both", f"http://{API}", f"http://{STORE}", None, {API, STORE}),
                ("store", f"http://[{own}]:{s.stub.port}", f"http://{STORE}", f"other.example,{own}", {STORE}),
                ("api", f"http://{API}", f"http://[{own}]:{s.emulator.port}", own, {API}),
                ("near", s.stub.endpoint, s.emulator.endpoint, None, set())):
            del proxy.asked[:]
            s.stub.endpoint = api  # what is signed
            job = s.offer()
            s.start(api, store, proxies(proxy, **({"no_proxy": no_proxy} if no_proxy else {})), name, allow_plain_http=True)
            s.done(job)
            equal(s.agent.stop(), 0)
            equal(hosts(proxy), wanted, name)
            s.stub.endpoint = f"http://127.0.0.1:{s.stub.port}"


@story
def tunnels_through_a_proxy_lead_to_certificates_of_an_authority_of_ones_own():
    with Scene() as s:
        ca = Authority(s.place.path("ca"))
        with Proxy(s.stub.port, tls=ca.server("api", f"DNS:{API}")) as api, \
                Proxy(s.emulator.port, tls=ca.server("store", f"DNS:{STORE}")) as store, \
                ForwardProxy({API: api.port, STORE: store.port}) as proxy:
            s.stub.endpoint = f"https://{API}"
            job = s.offer()
            s.start(f"https://{API}", f"https://{STORE}", proxies(proxy), ca_file=ca.file)
            s.done(job)
            equal(s.agent.stop(), 0)
            equal({how for how, _ in proxy.asked}, {"CONNECT"})
            equal(hosts(proxy), {API, STORE})


@story
def a_store_with_a_certificate_of_another_authority_gets_nothing():
    with Scene() as s:
        ca, other = Authority(s.place.path("ca")), Authority(s.place.path("other"))
        with Proxy(s.stub.port, tls=ca.server("api", "DNS:localhost")) as api, \
                Proxy(s.emulator.port, tls=other.server("store", "DNS:localhost")) as bad, \
                Proxy(s.emulator.port, tls=ca.server("store", "DNS:localhost")) as good:
            s.stub.endpoint = f"https://localhost:{api.port}"
            job = s.offer()
            s.start(s.stub.endpoint, f"https://localhost:{bad.port}", ca_file=ca.file)
            wait_for(lambda: " fetch.failed " in s.agent.text(), what="the refusal")
            line = [line for line in s.agent.text().splitlines() if " fetch.failed " in line][0]
            check("certificate" in line, line)
            equal((bad.requests, job.results), ([], []))
            s.agent.kill()
            s.start(s.stub.endpoint, f"https://localhost:{good.port}", env={"AWS_CA_BUNDLE": ca.file}, name="again")
            s.done(job)


@story
def api_and_store_are_reached_by_ipv6():
    with Scene() as s, Relay(s.stub.port) as api, Relay(s.emulator.port) as store:
        s.stub.endpoint = api.endpoint
        job = s.offer()
        s.start(api.endpoint, store.endpoint, s3_style="virtual")  # an address has no names below it: in the path
        s.done(job)
        equal(s.agent.stop(), 0)


@story
def a_small_output_names_the_pipelines_key_or_none():
    with Scene() as s, Proxy(s.emulator.port) as store:
        key = "arn:aws:kms:us-east-1:000000000000:key/1"
        s.start(s.stub.endpoint, store.endpoint)
        for named in (None, key):
            with s.stub.lock:  # not offered before it is whole
                job = s.offer(b"small")
                plain = job.data
                job.data = lambda: dict(plain(), encryptionKey={"id": named, "type": "KMS"} if named else None)
            finished(job, "success")
            put = [r for r in store.requests if r.method == "PUT"][-1]
            equal(put.header(b"x-amz-server-side-encryption"), b"aws:kms")
            equal(put.header(b"x-amz-server-side-encryption-aws-kms-key-id"), named.encode() if named else None)


run()
