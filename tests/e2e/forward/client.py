"""A Python program that knows of a proxy and of one root: client.py PORT HOST PATH ROOT."""
import http.client
import json
import ssl
import sys
import urllib.request

port, host, path, root = sys.argv[1:]
context = ssl.create_default_context(cafile=root)

tunnelled = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=30)
tunnelled.set_tunnel(host, 443)
answers = []
for _ in range(2):
    tunnelled.request("POST", path, body="from Python")
    answers.append(json.load(tunnelled.getresponse()))

proxies = urllib.request.ProxyHandler({scheme: f"http://127.0.0.1:{port}" for scheme in ("http", "https")})
opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))
for scheme in ("https", "http"):
    with opener.open(f"{scheme}://{host}{path}", timeout=30) as response:
        answers.append(json.load(response))
print(json.dumps(answers))
