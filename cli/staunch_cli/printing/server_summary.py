"""What a server that has started tells the person who started it."""

from collections.abc import Mapping

from staunch_cli.printing.how_to_call import call_address, how_to_call, staunch_command
from staunch_cli.shared.example_customers import NO_EXAMPLES, ExampleCustomers
from staunch_server.process.transports import Choice
from staunch_server.settings import Settings


def server_summary(  # noqa: PLR0913 - what a person is told
    settings: Settings,
    metrics_port: int,
    serves: Mapping[str, str],
    examples: ExampleCustomers = NO_EXAMPLES,
    *,
    carried_by: Choice,
    longest_stop_s: float,
    embedded: bool,
    has_models: bool,
) -> str:
    """Returns what is served, where, and how to call it.

    Args:
        settings: Where the server and its models are.
        metrics_port: The port of /metrics.
        serves: The versions that answer, and their aliases, as `how_to_call` takes them.
        examples: Whom the calls ask about.
        carried_by: The transport, and why it is that.
        longest_stop_s: Seconds that a stop takes at most.
        embedded: Whether the database is ours and ends with the server.
        has_models: Whether the store has versions that should answer.
    """
    # One text, so that what a person reads is seen here as it will stand.
    kind = "embedded" if embedded else "yours"
    calls = "\n".join(f"  {line}".rstrip() for line in how_to_call(settings, serves, examples))
    reflection = "on" if settings.reflects else "off"
    return f"""\
Staunch serves {_models(serves, has_models=has_models)}

  gRPC      {", ".join(settings.targets)}  (reflection {reflection}, no TLS)
  transport {carried_by.name}, {carried_by.why}
  metrics   http://{call_address(settings.metrics_host, metrics_port)}/metrics
  database  {kind}; {staunch_command()} and STAUNCH_* settings find it by themselves
  stop      within {longest_stop_s:g} s, calls in progress answered

{calls}

Ctrl-C stops {"server and database" if embedded else "the server"}."""


def _models(serves: Mapping[str, str], *, has_models: bool) -> str:
    if serves:
        return ", ".join(f"{name} ({aliases.replace(',', ', ')})" for name, aliases in serves.items())
    hint = "those of the store cannot answer, see above" if has_models else "publish one with `staunch train`"
    return f"no model yet: {hint}"
