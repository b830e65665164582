"""API priority and fairness: a server that has too much to do does first what matters most, and is fair to everybody.

    request ─ FlowSchema ─> priority level (its share of all seats) ─ flow ─> a hand of queues ─> seat

- `classify.py`  which FlowSchema fits a request, and which flow of it the request belongs to (pure)
- `queues.py`    one priority level: seats, queues, shuffle sharding, whose turn it is (pure)
- `limits.py`    how many seats each level has, and what levels lend each other (pure)
- `estimate.py`  how many seats a request takes
- `control.py`   the levels of a server, as its FlowSchemas and PriorityLevelConfigurations say (`follow.py`)
- `report.py`    what operators see: metrics, and who waits where (`/debug/api_priority_and_fairness/…`)
- `link.py`      the link of the chain: wait for a seat, or be told 429

Left out: the additional latency that a write costs its watchers (upstream lets a write keep its seats some ms longer).
Upstream: `staging/src/k8s.io/apiserver/pkg/util/flowcontrol`, KEP-1040.
"""
