"""The client-go of this house: how every component talks to the API server.

Upstream: `staging/src/k8s.io/client-go`. Read in this order:

1. `kubeconfig`      where the server is and who we are: a file becomes an `Access` and a TLS context
2. `rest`            `Client`: one method a verb, over a `Transport` (`transport` with `http1` and `websocket`, or
                     `asgi` in one process)
3. `watch`           the stream of changes: one JSON document a line
4. `informer`        a cache (`store`) that follows the server (list, then watch) and calls handlers
5. `workqueue`       three sets and one invariant: no key is worked on twice at once, none is forgotten
6. `controller`      workers that call `reconcile(key)`, and what becomes of the four outcomes
7. `leaderelection`  one of several instances works: a Lease, 15 s long, renewed every 2 s (`backoff`)
8. `events`          "Scaled up replica set web-1 to 3": written in the background; `event_series` counts repeated ones

A controller in ten lines:

    informer = factory.informer(resource("pods"))
    queue = RateLimitingQueue(clock, random)
    informer.add_handler(on_add=lambda pod: queue.add(key_of(pod)), ...)

    async def reconcile(key: Key) -> None:
        pod = informer.store.get(key)      # shared with everyone: copy before changing
        ...

    await Controller("pods", queue, reconcile, workers=5).run()

Left out: exec plugins and certificate reload in kubeconfig files, client-side rate limits (the server has its own),
protobuf. Retries after a refused connection are quicker than upstream's (from 20 ms), because here the server is
on the same machine and comes back within a second.
"""
