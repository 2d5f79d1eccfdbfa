#!/usr/bin/env python3
"""Writes what Jinja2 makes of the templates in Tests/Fixtures/chat-templates: the expected member of
every entry of expressions.json, and tools.json for tools.jinja.

    pip install jinja2==3.1.6 && python3 tools/make_template_cases.py

A new expression is added by hand as ["{{ … }}", null]; its expected text is filled in here. Where
Jinja2 raises an error the entry is null; where the template calls raise_exception it holds the message.
The environment is that of transformers: sandboxed, trim_blocks, lstrip_blocks, tojson as json.dumps.
"""
import copy
import datetime
import json
import os

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

FOLDER = os.path.join(os.path.dirname(__file__), "..", "Tests", "Fixtures", "chat-templates")
CLOCK = datetime.datetime(2026, 1, 5, 9, 7, 3)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = CLOCK.strftime
    return made


ENVIRONMENT = environment()


def render(source, variables):
    """The text, {"raises": message}, or None for an error of Python's or Jinja's own."""
    try:
        return ENVIRONMENT.from_string(source).render(**copy.deepcopy(variables))
    except jinja2.exceptions.TemplateError as error:
        return {"raises": str(error)} if type(error) is jinja2.exceptions.TemplateError else None
    except Exception:
        return None


def expressions():
    path = os.path.join(FOLDER, "expressions.json")
    with open(path) as file:
        document = json.load(file)
    always = {"messages": [], "tools": None, "documents": None, "add_generation_prompt": False}
    rows = []
    for source, _, *index in document["cases"]:
        variables = document["variables"][index[0]] if index else {}
        rows.append([source, render(source, {**always, **variables}), *index])
    lines = [json.dumps(v, ensure_ascii=False) for v in document["variables"]]
    with open(path, "w") as file:
        file.write('{"jinja2": "%s",\n "variables": [\n  ' % jinja2.__version__ + ",\n  ".join(lines))
        file.write('\n ],\n "cases": [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]}\n")
    return len(rows)


def weather(**more):
    return {"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "required": ["place"], "properties": {
            "place": {"type": "string"}, "days": {"type": "array", "items": {"enum": ["today", "tomorrow"]}},
            "at": {"type": "object", "properties": {"hour": {"type": "integer"}, "zone": {"type": "string"}},
                   "required": ["hour"]}}}, **more}}


def call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tool_cases():
    system = {"role": "system", "content": "  Be brief.\n"}
    user = {"role": "user", "content": "Wie wird das Wetter in Århus? ☂️"}
    thought = {"role": "assistant", "content": "<think>old</think>\n\nLet me look.", "reasoning_content": " Rain? \n",
               "tool_calls": [call("weather", {"place": "Århus", "days": ["today"], "at": {"hour": 9.5, "zone": None}})]}
    result = {"role": "tool", "name": "weather", "content": "{\"rain\": true}"}
    parts = {"role": "user", "content": [
        {"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]}
    prompt = {"add_generation_prompt": True}
    tools = {"tools": [weather(description="Says the weather.\nAnywhere."), {"name": "now", "parameters": None}]}
    return [
        ("plain", [user], prompt),
        ("system", [system, user, {"role": "assistant", "content": "Nass."}], {"add_generation_prompt": False}),
        ("tools", [system, user], {**prompt, **tools}),
        ("call", [system, user, thought, result, {**result, "name": None}], {**prompt, **tools}),
        ("history", [user, thought, result, {"role": "assistant", "content": "Rain."}, user], {**prompt, **tools}),
        ("no_thinking", [parts], {**prompt, "enable_thinking": False}),
        ("thinking", [parts], {**prompt, "enable_thinking": True}),
        ("empty", [], {}),
        ("role", [{"role": "critic", "content": "x"}], prompt),
        ("no_role", [{"content": "x"}], prompt),
        ("not_a_dict", ["x"], prompt),
    ]


def tools():
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    with open(os.path.join(FOLDER, "tools.jinja"), newline="") as file:
        source = file.read()
    cases = []
    for name, messages, arguments in tool_cases():
        arguments = {"tools": None, "add_generation_prompt": False, **arguments}
        got = render(source, {"messages": messages, "documents": None, **special, **arguments})
        outcome = {"fails": True} if got is None else got if isinstance(got, dict) else {"rendered": got}
        cases.append({"case": name, "messages": messages, "arguments": arguments, **outcome})
    document = {
        "template": "tools.jinja", "clock": CLOCK.isoformat(), "special_tokens": special, "cases": cases}
    with open(os.path.join(FOLDER, "tools.json"), "w") as file:
        json.dump(document, file, indent=1, ensure_ascii=False)
        file.write("\n")
    return len(cases)


if __name__ == "__main__":
    print(expressions(), "expressions,", tools(), "conversations")
