"""wget as busybox has it: `wget [-q] [-S] [-O FILE] [-T SECONDS] [--spider] [--post-data=TEXT] URL`."""
# mypy: ignore-errors

import sys
import urllib.error
import urllib.parse
import urllib.request

options = {"q": False, "spider": False, "O": None, "T": 60.0, "data": None, "headers": {}}
urls, words = [], sys.argv[1:]
while words:
    word = words.pop(0)
    if word.startswith("--"):
        name, _, value = word[2:].partition("=")
        if name == "spider":
            options["spider"] = True
        elif name in ("post-data", "header", "timeout", "output-document"):
            value = value or words.pop(0)
            if name == "post-data":
                options["data"] = value.encode()
            elif name == "header":
                key, _, text = value.partition(":")
                options["headers"][key] = text.strip()
            else:
                options["T" if name == "timeout" else "O"] = float(value) if name == "timeout" else value
        continue
    if word.startswith("-") and len(word) > 1:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "OTtPU":
                value = letters or (words.pop(0) if words else "")
                letters = ""
                options[letter] = float(value) if letter == "T" else value
            elif letter == "q":
                options["q"] = True
        continue
    urls.append(word)
if not urls:
    sys.stderr.write("Usage: wget [-q] [-O FILE] [-T SEC] URL...\n")
    sys.exit(1)
for url in urls:
    url = url if "://" in url else "http://" + url
    host = urllib.parse.urlsplit(url).netloc
    if not options["q"]:
        sys.stderr.write(f"Connecting to {host}\n")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(url, options["data"], {"User-Agent": "Wget", **options["headers"]})
        with opener.open(request, timeout=options["T"]) as answer:
            body = b"" if options["spider"] else answer.read()
    except urllib.error.HTTPError as problem:
        sys.stderr.write(f"wget: server returned error: HTTP/1.1 {problem.code} {problem.reason}\n")
        sys.exit(1)
    except TimeoutError:
        sys.stderr.write("wget: download timed out\n")
        sys.exit(1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        if "timed out" in str(reason):
            sys.stderr.write("wget: download timed out\n")
        elif getattr(reason, "errno", 0) in (-2, -3, -5):
            sys.stderr.write(f"wget: bad address '{host}'\n")
        else:
            sys.stderr.write(f"wget: can't connect to remote host ({host}): {getattr(reason, 'strerror', reason)}\n")
        sys.exit(1)
    if options["spider"]:
        continue
    target = options["O"] or url.rstrip("/").rpartition("/")[2] or "index.html"
    if target == "-":
        sys.stdout.buffer.write(body)
    else:
        with open(target, "wb") as file:
            file.write(body)
