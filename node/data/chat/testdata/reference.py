"""Writes reference.json: templates, and what the reference (PyPI's jinja2 3.1, set up as transformers sets it up) renders of
conversations with them.

    python -m venv v && v/bin/pip install jinja2==3.1.6 && v/bin/python reference.py > reference.json
"""
import json

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None: json.dumps(x, ensure_ascii=ensure_ascii, indent=indent)


def refuse(message):
    raise TemplateError(message)


env.globals["raise_exception"] = refuse

templates = {
    "chatml": """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "default system": "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<s>system\\nBe kind</s>\\n' }}{% endif %}"
    "{{'<s>' + m['role'] + '\\n' + m['content'] + '</s>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}",
    "headers": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "1 Jan 2024" %}
    {%- endif %}
{%- endif %}

{#- the first message may be the system's #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|h|>system<|/h|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Tools: ipython\\n" }}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|h|>' + message['role'] + '<|/h|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif message.role in ["tool", "ipython"] %}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|h|>assistant<|/h|>\\n\\n' }}
{%- endif %}
""",
    "alternate": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% set sys = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and sys != false %}{% set content = '<<S>>' ~ sys ~ '<</S>> ' ~ message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[I] ' + content.strip() + ' [/I]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "namespace": """{%- set ns = namespace(found=false, n=0, last=none) -%}
{%- for m in messages[::-1] %}
  {%- set i = (messages|length - 1) - loop.index0 %}
  {%- if m.role == "user" and not ns.found %}{% set ns.found = true %}{% set ns.last = i %}{% endif %}
  {%- set ns.n = ns.n + 1 %}
{%- endfor %}
{{ ns.found }} {{ ns.n }} {{ ns.last }} {{ ns.none_such }}|
{% for m in messages if m.role != 'system' %}
  {{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.previtem.role if loop.previtem is defined else '-' }}: {{ m.content|trim|upper if m.role == "user" else m.content|length }}
{% else %}
nobody
{% endfor %}
end""",
    "values": """{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 + 3 * 4 }} {{ 1 < 2 }} {{ "a" < "b" }} {{ 1 == true }} {{ none }} {{ not none }} {{ missing }}|{{ missing is undefined }}
{{ "a-b-c".split("-")|join("+") }} {{ "a-b-c".split("-", 1)[1] }} {{ "abc"[0] }}{{ "abc"[-1] }}{{ "abc"[1:] }}{{ "abc"[:-1] }}{{ "abcdef"[::-2] }}{{ "abcdef"[4:1:-1] }} {{ "abc"[5] }}
{{ [1, 2] + [3] == [1, 2, 3] }} {{ {"a": 1, "b": [true, none, "q\\"é\\n"]}|tojson }} {{ {"a": {"b": []}, "c": [1]}|tojson(indent=2) }} {{ []|tojson }}
{{ "x" in "xyz" }} {{ "q" not in ["q"] }} {{ "a" in {"a": 1} }} {{ "%s" }} {{ '{{' }} {{ "a" "b" }}
{%+ if true %} kept {%+ endif %} x
  {%- if 1 %}
  stripped   {%- endif -%}   y
{{- " z " -}}   w {# gone #}
   {# a line of its own #}
{% for k, v in {"p": 1, "q": 2}.items() %}{{ k }}={{ v }};{% endfor %} {{ {"p": 1}.get("z", "none") }} {{ {"p": 1}.p }} {{ {"p": 1}["z"]|default("d") }} {{ ""|default("e", true) }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {{ range(3)|list|length }} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %} {{ "A b"|lower }} {{ "x y"|title }} {{ " q "|trim|replace("q", "r") }}
{{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ "s" is string }} {{ 1 is number }} {{ [] is iterable }} {{ "a" is eq "a" }} {{ messages is sequence }} {{ true is boolean }} {{ (1) }} {{ "ab"|first }}{{ [1,2]|last }}
{{ "b" if false }}{{ "a" if messages else "none" }} {{ "yes" if "x" and ("" or 1) else "no" }} {{ "  lead".lstrip() }}{{ "xxaxx".strip("x") }} {{ "Hello".startswith("He") }} {{ "5"|int + 1 }} {{ 5|string + "1" }}
""",
    "prefilled": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
}
conversations = [
    [("user", "Hi"), ("assistant", " Hello! "), ("user", "Bye\n\n")],
    [("system", " Be brief. "), ("user", "1+1?"), ("assistant", "2"), ("user", "<|im_end|> é 日本"), ("assistant", "ok")],
    [("assistant", "first"), ("user", "second")],
    [("system", "alone")],
    [("user", "{{ 7 }} {% if %}"), ("tool", "result")],
]
cases = []
for name, text in templates.items():
    template = env.from_string(text.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    for conversation in conversations:
        messages = [{"role": r, "content": c} for r, c in conversation]
        for prompt in [False, True]:
            try:
                out = template.render(messages=messages, tools=None, documents=None, add_generation_prompt=prompt, bos_token="<B>", eos_token="<E>")
            except TemplateError as e:
                out = None
            cases.append({"template": name, "messages": messages, "prompt": prompt, "want": out})
print(json.dumps({"templates": templates, "cases": cases}, ensure_ascii=False, indent=0))
