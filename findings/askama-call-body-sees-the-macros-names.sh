#!/usr/bin/env bash
# askama 0.16.1 (crates.io): the body of a `{% call %}` sees the macro's argument names before those of the template that it stands in.
#
# Input: a template with a field `label`, which calls a macro that has an argument `label` too, with a body that prints `label`.
# Guessed: the body is the caller's, as in Jinja2 3.1.6 (PyPI), whose syntax askama follows: it prints the template's own `label`.
# Seen: it prints the macro's argument. Nothing warns, because both names are there and both are text.
# Hurts: whoever writes a form's fields by a macro: an input shows the field's label as its value, and only for those pages that have a
# variable of the same name.
#
# Fails if that changes. Needs cargo, python3 with venv, and the two package registries.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir -p src templates
cat >Cargo.toml <<'TOML'
[package]
name = "look"
version = "0.0.0"
edition = "2024"

[dependencies]
askama = "=0.16.1"
TOML
# The same text for both engines.
cat >templates/page.txt <<'TEMPLATE'
{% macro field(label) %}[{{ label }}: {{ caller() }}]{% endmacro %}{% call field("Your name") %}{{ label }}{% endcall %}
TEMPLATE
sed -e 's/{% call field/{% call() field/' templates/page.txt >askama.txt && mv askama.txt templates/askama.txt
cat >src/main.rs <<'RUST'
use askama::Template;

#[derive(Template)]
#[template(path = "askama.txt")]
struct Page {
    label: &'static str,
}

fn main() {
    println!("{}", Page { label: "Ada" }.render().unwrap());
}
RUST
rust=$(cargo run --quiet)

python3 -m venv jinja
jinja/bin/pip install --quiet --disable-pip-version-check jinja2==3.1.6
python=$(jinja/bin/python -c 'import jinja2, sys; print(jinja2.Template(sys.stdin.read()).render(label="Ada"))' <templates/page.txt)

echo "jinja2 3.1.6:  $python"
echo "askama 0.16.1: $rust"
[ "$python" = "[Your name: Ada]" ] && [ "$rust" = "[Your name: Your name]" ] || { echo "this has changed"; exit 1; }
echo "as written"
