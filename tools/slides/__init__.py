"""Builds the slides: `make slides`, or `python -m tools.slides build`. Offline, once Marp CLI is installed.

    slides/NN-topic.md      a topic: a few slides in Marp's Markdown, with our directives
    slides/decks/*.yml      a deck: a title, minutes, and a list of topics
    slides/figures/*.svg    drawings        slides/theme/   the look, and the script of a deck

- `source.py`   PURE: topics and decks, and what a directive becomes
- `code.py`     PURE: a function or class of the package, found by its name
- `build.py`    reads files, runs Marp CLI, puts the script in

A topic starts with `title:` and `minutes:` between `---` lines; slides are divided by `---`. Directives are comments:

    <!-- then --> … <!-- now --> … <!-- end -->      how it was in 2018, how it is in 1.36
    <!-- code: workshop.controllers.replicaset:decide -->     source by name; the build fails when the name is gone
    <!-- code: workshop.client.workqueue:Queue.add until "self._wake()" -->
    <!-- figure: control-loop -->                    a drawing, inlined
    <!-- board: what to look at -->                  the live board; words where none runs
    <!-- lab: 00-tour -->                            a link that opens the lab; it has to exist
    <!-- notes … -->                                 what the speaker says
    <!-- _class: title -->                           Marp's own

A deck's HTML loads nothing from the network. The board and the labs are on the speaker's machine:
`DECK.html?board=http://127.0.0.1:…&lab=http://127.0.0.1:8888/lab/tree/labs/` names other places.
"""
