"""The command ``dmlbench``: finds the verb, turns errors into a paragraph and an exit code."""

import signal
import sys
from importlib import import_module

import click

from dmlbench.compute.signals import handled, raise_signalled
from dmlbench.errors import DmlbenchError, printable

_VERBS = {
    "run": "Run trials and write their leaderboards.",
    "list": "List the components that are installed.",
    "show": "Show everything known about a component or a protocol.",
    "publish": "Make leaderboards from records, or check them.",
    "reproduce": "Run the trial of a record again, and compare.",
    "diff": "Show what changed between two sets of records, and which changes are real.",
    "merge": "Import somebody else's records, each after a check.",
    "score": "Score embeddings that were made elsewhere.",
    "data": "List datasets, prepare one, look for damage, or clean the cache.",
    "doctor": "Show what this machine has and what is broken, and mend what runs left.",
    "plugin": "Check your own components against the contracts.",
}


class _Verbs(click.Group):
    """A group that imports a verb's module when the verb is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command: click.Command = import_module(f"dmlbench.cli.{name}").command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from dmlbench.errors import nearest

        if "\0" in "".join(args):
            context.fail("There is a NUL character in the request, and no name can hold one.")
        if args[0] not in _VERBS:
            context.fail(f"There is no command {args[0]!r}.{nearest(args[0], _VERBS)}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--traceback", is_flag=True, help="Show where in the code an error came from.")
@click.option("--version", is_flag=True, help="Show the version and stop.")
@click.pass_context
def group(context: click.Context, traceback: bool, version: bool) -> None:
    """Find out which deep-metric-learning method is better, and by how much.

    `dmlbench run --all` trains every loss on data that ship with it and writes leaderboards to the
    current directory.
    """
    if version:
        import dmlbench

        click.echo(f"dmlbench {dmlbench.__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line and exit.

    With 0 if all went well, 1 if a trial or a check failed, 2 for a wrong request; with 130, 143 or
    129 if Ctrl-C, SIGTERM or SIGHUP ended it.
    """
    with handled(raise_signalled):
        sys.exit(_run())


def _run() -> int:
    """Run the command line, and return its exit code."""
    try:
        code = group.main(standalone_mode=False)
    except DmlbenchError as error:
        if "--traceback" in sys.argv:
            raise
        click.echo(f"dmlbench: {printable(str(error))}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("dmlbench: stopped. Run the same command again to continue.", err=True)
        by = error.__cause__ if isinstance(error, click.Abort) else error
        code = 128 + getattr(by, "number", signal.SIGINT)
    except OSError as error:  # such as a full disk that our output goes to
        if "--traceback" in sys.argv:
            raise
        click.echo(f"dmlbench: {error}", err=True)
        code = 1
    return code or 0
