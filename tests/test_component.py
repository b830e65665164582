"""What every program does alike."""

from workshop import component, serving
from workshop.serving import listen


def test_a_port_in_use_is_one_sentence(capsys):
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]

    async def main(stop):
        serving.listen("127.0.0.1", port)

    with taken:
        assert component.run_until_signal(main) == 1
    said = capsys.readouterr().err
    assert said == f"Error: listen tcp 127.0.0.1:{port}: bind: address already in use (`ss -ltnp` shows who has it)\n"
