#!/usr/bin/env python3
"""One work order, done by Leafwright and by whichever of its peers is there, side by side in one run.

    cargo build --release
    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install jinja2 pyinfra ansible-core    # and apt-get install cfengine3
    PATH=/tmp/peers/bin:$PATH python3 examples/bench_apply.py [ROUNDS]

The work order: a nats-server configuration, 12 systemd units, 8 small files and a zone of 200 records, from variables,
below a directory; nothing is started. Each tool does it into an empty directory, then with nothing to do, then with one
variable changed that one file shows. Medians of whole processes after one round that does not count; peak RSS of `nothing to do`.
What each tool wrote is compared before anything is timed, but for nats-server's configuration: Leafwright's is the one that it compiles.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

UNITS = range(12)
FILES = range(8)
RECORDS = range(200)

UNIT = """[Unit]
Description=worker {n}
After=network.target

[Service]
ExecStart=/usr/lib/meadow/worker --number {n} --port {port}
DynamicUser=yes
ProtectSystem=strict
PrivateTmp=yes
MemoryMax=128M
Restart=on-failure
RestartSec=2s

[Install]
WantedBy=multi-user.target
"""
FILE = "# file {n} of {site}\nnumber = {n}\ncolour = {colour}\n"
# Jinja and Tera read it alike.
ZONE = "$ORIGIN meadow.example.\n{% for n in records %}host-{{ n }} 3600 IN A 192.0.2.{{ n }}\n{% endfor %}"
NATS = {
    "server_name": "bench",
    "listen": "127.0.0.1:4222",
    "http": "127.0.0.1:8222",
    "max_payload": 1048576,
    "max_connections": 1000,
    "ping_interval": "2m",
    "jetstream": {"store_dir": "/var/lib/nats/jetstream", "domain": "bench", "max_mem": 268435456, "max_file": 1073741824},
    "leafnodes": {"remotes": [{"urls": [f"tls://192.0.2.{n}:7422" for n in range(1, 4)], "credentials": "/etc/nats/leaf.creds"}]},
    "accounts": {"MEADOW": {"jetstream": "enabled", "users": [{"nkey": "U" + "A" * 55, "permissions": {"publish": {"allow": [f"evt.meadow.{n}.>" for n in range(12)]}}}]}},
}


def variables(colour):
    return {"site": "bench", "port": 8000, "colour": colour, "units": list(UNITS), "files": list(FILES), "records": list(RECORDS)}


def unit(n):
    return UNIT.format(n=n, port=8000 + n)


def small(n, colour):
    # One file shows the variable that changes.
    return FILE.format(n=n, site="bench", colour=colour if n == 3 else "green")


def zone():
    return "$ORIGIN meadow.example.\n" + "".join(f"host-{n} 3600 IN A 192.0.2.{n}\n" for n in RECORDS)


def written(root):
    """Path below the root -> text, of what the work order asks for."""
    wanted = [f"etc/systemd/system/worker-{n}.service" for n in UNITS] + [f"etc/meadow/{n}.conf" for n in FILES] + ["etc/meadow/zone"]
    return {path: (root / path).read_text() for path in wanted}


class Tool:
    """`prepare` writes what the tool reads; `command` is what is timed, for one colour of the variable."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.root = self.home / "root"

    def there(self):
        return shutil.which(self.program) is not None

    def clear(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)


class Leafwright(Tool):
    name = "Leafwright"
    program = "target/release/leafwright"

    def there(self):
        self.program = str(pathlib.Path(self.program).resolve())
        return pathlib.Path(self.program).is_file()

    def prepare(self):
        domain = self.home / "domain"
        text = {
            "domain.toml": 'name = "meadow"\ndns = "meadow.example"\nzone = "home"\n\n[zones.home]\n',
            "hardware/box.toml": 'arch = "x86_64"\ncores = 4\nmemory = "8GiB"\ndisk = "200GB"\n',
            "people/ada.toml": 'full_name = "Ada Marsh"\n',
            "modules/order/zone.tera": ZONE,
            "modules/order/small.tera": "# file {{ n }} of bench\nnumber = {{ n }}\ncolour = {{ colour }}\n",
        }
        module = 'imports = ["leaf"]\n\n[options.colour]\ntype = "string"\ndoc = "The variable that changes."\ndefault = "green"\n'
        for n in UNITS:
            for section, lines in sections(unit(n)).items():
                module += f'\n[settings.units."worker-{n}.service".{section}]\n'
                module += "".join(f"{key} = [{json.dumps(value)}]\n" for key, value in lines)
        for n in FILES:
            colour = '"${colour}"' if n == 3 else '"green"'
            module += f'\n[settings.files."/etc/meadow/{n}.conf"]\ntemplate = "small.tera"\nvalues = {{ n = {n}, colour = {colour} }}\n'
        module += f'\n[settings.files."/etc/meadow/zone"]\ntemplate = "zone.tera"\nvalues = {{ records = {json.dumps(list(RECORDS))} }}\n'
        text["modules/order/module.toml"] = module
        for path, content in text.items():
            (domain / path).parent.mkdir(parents=True, exist_ok=True)
            (domain / path).write_text(content)
        self.colour("green")
        for verb in (["keys", "init"], ["keys", "sign"]):
            run([self.program, *verb, "--domain", str(domain), "--store", str(self.home / "keys")])

    def colour(self, colour):
        machine = self.home / "domain/machines/bench.toml"
        machine.parent.mkdir(exist_ok=True)
        machine.write_text(f'configuration = ["order"]\nhardware = "box"\nperson = "ada"\n\n[settings]\ncolour = "{colour}"\n')

    def command(self):
        return [self.program, "apply", "bench", "--yes", "--domain", str(self.home / "domain"), "--root", str(self.root)]


class Script(Tool):
    name = "Python + Jinja2 script"
    program = "python3"

    def there(self):
        return subprocess.run([shutil.which("python3"), "-c", "import jinja2"], capture_output=True).returncode == 0

    def prepare(self):
        (self.home / "script.py").write_text(
            "import json, os, sys, jinja2\n"
            "v, root = json.load(open(sys.argv[1])), sys.argv[2]\n"
            "env = jinja2.Environment(keep_trailing_newline=True)\n"
            f"unit = env.from_string({jinja(UNIT)!r})\n"
            f"small = env.from_string({jinja(FILE)!r})\n"
            f"zone = env.from_string({ZONE!r})\n"
            "out = {'etc/nats/nats-server.json': json.dumps(v['nats'], indent=2)}\n"
            "for n in v['units']: out[f'etc/systemd/system/worker-{n}.service'] = unit.render(n=n, port=v['port'] + n)\n"
            "for n in v['files']: out[f'etc/meadow/{n}.conf'] = small.render(n=n, site=v['site'], colour=v['colour'] if n == 3 else 'green')\n"
            "out['etc/meadow/zone'] = zone.render(records=v['records'])\n"
            "for path, text in out.items():\n"
            "    path = os.path.join(root, path)\n"
            "    try:\n"
            "        if open(path).read() == text: continue\n"
            "    except FileNotFoundError: os.makedirs(os.path.dirname(path), exist_ok=True)\n"
            "    open(path + '.new', 'w').write(text); os.rename(path + '.new', path)\n"
        )
        self.colour("green")

    def colour(self, colour):
        (self.home / "variables.json").write_text(json.dumps({**variables(colour), "nats": NATS}))

    def command(self):
        return ["python3", str(self.home / "script.py"), str(self.home / "variables.json"), str(self.root)]


class Cfengine(Tool):
    name = "CFEngine"
    program = "cf-agent"

    def prepare(self):
        templates = self.home / "templates"
        templates.mkdir()
        (templates / "unit").write_text(UNIT.replace("{n}", "{{n}}").replace("{port}", "{{port}}"))
        (templates / "small").write_text(FILE.replace("{n}", "{{n}}").replace("{site}", "bench").replace("{colour}", "{{colour}}"))
        (templates / "zone").write_text("$ORIGIN meadow.example.\n{{#records}}\nhost-{{.}} 3600 IN A 192.0.2.{{.}}\n{{/records}}\n")
        (templates / "nats").write_text(json.dumps(NATS, indent=2))
        self.colour("green")

    def colour(self, colour):
        def promise(path, template, data):
            return (f'      "{self.root}/{path}" create => "true", template_method => "inline_mustache",\n'
                    f'        edit_template_string => readfile("{self.home}/templates/{template}", 0),\n'
                    f"        template_data => parsejson('{json.dumps(data)}');\n")
        files = promise("etc/nats/nats-server.json", "nats", {})
        files += "".join(promise(f"etc/systemd/system/worker-{n}.service", "unit", {"n": n, "port": 8000 + n}) for n in UNITS)
        files += "".join(promise(f"etc/meadow/{n}.conf", "small", {"n": n, "colour": colour if n == 3 else "green"}) for n in FILES)
        files += promise("etc/meadow/zone", "zone", {"records": list(RECORDS)})
        directories = "".join(f'      "{self.root}/{path}/." create => "true";\n' for path in ("etc/nats", "etc/systemd/system", "etc/meadow"))
        policy = self.home / "order.cf"
        policy.write_text('body common control { bundlesequence => { "order" }; }\nbundle agent order {\n  files:\n' + directories + files + "}\n")
        policy.chmod(0o600)

    def command(self):
        return ["cf-agent", "--no-lock", "--file", str(self.home / "order.cf")]


class Pyinfra(Tool):
    name = "pyinfra"
    program = "pyinfra"

    def prepare(self):
        (self.home / "unit.j2").write_text(jinja(UNIT))
        (self.home / "small.j2").write_text(jinja(FILE))
        (self.home / "zone.j2").write_text(ZONE)
        (self.home / "nats.json").write_text(json.dumps(NATS, indent=2))
        self.colour("green")

    def colour(self, colour):
        (self.home / "deploy.py").write_text(
            "from pyinfra.operations import files\n"
            f"root, here = {str(self.root)!r}, {str(self.home)!r}\n"
            "files.put(src=here + '/nats.json', dest=root + '/etc/nats/nats-server.json')\n"
            f"for n in range({len(UNITS)}):\n"
            "    files.template(src=here + '/unit.j2', dest=f'{root}/etc/systemd/system/worker-{n}.service', n=n, port=8000 + n)\n"
            f"for n in range({len(FILES)}):\n"
            f"    files.template(src=here + '/small.j2', dest=f'{{root}}/etc/meadow/{{n}}.conf', n=n, site='bench', colour={colour!r} if n == 3 else 'green')\n"
            f"files.template(src=here + '/zone.j2', dest=root + '/etc/meadow/zone', records=list(range({len(RECORDS)})))\n"
        )

    def command(self):
        return ["pyinfra", "-y", "@local", str(self.home / "deploy.py")]


class Ansible(Tool):
    name = "Ansible, local"
    program = "ansible-playbook"

    def prepare(self):
        Pyinfra.prepare(self)

    def colour(self, colour):
        def loop(src, dest, count, more):
            return {"ansible.builtin.template": {"src": f"{self.home}/{src}", "dest": f"{self.root}/{dest}"}, "vars": {"n": "{{ item }}", **more}, "loop": list(range(count))}
        directories = {"ansible.builtin.file": {"path": f"{self.root}/{{{{ item }}}}", "state": "directory"}, "loop": ["etc/nats", "etc/systemd/system", "etc/meadow"]}
        tasks = [
            directories,
            {"ansible.builtin.copy": {"src": f"{self.home}/nats.json", "dest": f"{self.root}/etc/nats/nats-server.json"}},
            loop("unit.j2", "etc/systemd/system/worker-{{ item }}.service", len(UNITS), {"port": "{{ 8000 + item }}"}),
            loop("small.j2", "etc/meadow/{{ item }}.conf", len(FILES), {"site": "bench", "colour": f"{{{{ '{colour}' if item == 3 else 'green' }}}}"}),
            {"ansible.builtin.template": {"src": f"{self.home}/zone.j2", "dest": f"{self.root}/etc/meadow/zone"}, "vars": {"records": list(RECORDS)}},
        ]
        play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": tasks}]
        (self.home / "play.yml").write_text(json.dumps(play, indent=1))

    def command(self):
        return ["ansible-playbook", "-i", "localhost,", str(self.home / "play.yml")]


def jinja(text):
    for name in ("n", "port", "site", "colour"):
        text = text.replace("{" + name + "}", "{{ " + name + " }}")
    return text


def sections(text):
    found, section = {}, None
    for line in text.splitlines():
        if line.startswith("["):
            section = found.setdefault(line[1:-1], [])
        elif line:
            section.append(tuple(line.split("=", 1)))
    return found


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def timed(tool):
    """Seconds of one whole process, and its peak RSS in MiB."""
    began = time.perf_counter()
    child = subprocess.Popen(tool.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - began
    if status != 0:
        sys.exit(f"{tool.name} failed: {' '.join(map(str, tool.command()))}")
    return took, usage.ru_maxrss / 1024


def judge(tool):
    """The same work, before anything is timed."""
    def differs(colour):
        wanted = {f"etc/systemd/system/worker-{n}.service": sections(unit(n)) for n in UNITS}
        wanted |= {f"etc/meadow/{n}.conf": small(n, colour) for n in FILES} | {"etc/meadow/zone": zone()}
        for path, text in written(tool.root).items():
            # Units by what they say: not everyone keeps their order and empty lines.
            same = sections(text) if path.endswith(".service") else text
            want = wanted[path]
            plain = same if isinstance(same, str) else {key: sorted(value) for key, value in same.items()}
            asked = want if isinstance(want, str) else {key: sorted(value) for key, value in want.items()}
            if plain.rstrip() != asked.rstrip() if isinstance(plain, str) else plain != asked:
                sys.exit(f"{tool.name}: {path} is\n{text}\nand must be\n{want}")
    for colour in ("green", "blue"):
        tool.colour(colour)
        run(tool.command())
        differs(colour)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    work = tempfile.mkdtemp(prefix="bench-apply-")
    tools = []
    for kind in (Leafwright, Script, Cfengine, Pyinfra, Ansible):
        tool = kind(os.path.join(work, kind.__name__.lower()))
        tool.home.mkdir()
        if not tool.there():
            print(f"{tool.name} is not here", file=sys.stderr)
            continue
        tool.clear()
        tool.prepare()
        judge(tool)
        tools.append(tool)
    figures = {tool.name: {"first": [], "nothing": [], "changed": [], "rss": []} for tool in tools}
    for count in range(rounds + 1):
        for tool in tools:
            tool.clear()
            tool.colour("green")
            first, _ = timed(tool)
            nothing, rss = timed(tool)
            tool.colour("blue")
            changed, _ = timed(tool)
            if count > 0:
                for key, value in (("first", first), ("nothing", nothing), ("changed", changed), ("rss", rss)):
                    figures[tool.name][key].append(value)
    shutil.rmtree(work)

    def shown(seconds):
        return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
    print("| tool | first | nothing to do | one variable changed | peak RSS |\n| --- | ---: | ---: | ---: | ---: |")
    for name, found in figures.items():
        median = {key: statistics.median(values) for key, values in found.items()}
        print(f"| {name} | {shown(median['first'])} | {shown(median['nothing'])} | {shown(median['changed'])} | {median['rss']:.0f} MiB |")


if __name__ == "__main__":
    main()
