"""The demonstrations of builds. See scripts/demonstrate-build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from ground import Engine, eventually, expect, ground, show, what_to_show

IMAGE = "programs"
PACKAGES = "gcc,libc6-dev,nodejs,npm,python3-minimal,python3-pip"

DOCKERFILE = """FROM node:latest
WORKDIR /app
COPY . /app
RUN npm install
EXPOSE 3000
CMD ["node","index.js"]
"""
BETTER = """FROM node:21-alpine3.19
WORKDIR /app
COPY package*.json /app
RUN npm install
COPY . /app
EXPOSE 3000
CMD ["node","index.js"]
"""
INDEX = """const app = require("express")();
app.get("/", (req, res) => {
  res.json({ Page: "This is the homepage" });
});
app.get("/first", (req, res) => {
  res.json({ Page: "This is the first page." });
});
app.get("/second", (req, res) => {
  res.json({ Page: "This is the second page." });
});
%sapp.all("*", (req, res) => {
  res.status(404).send("Oops! Cannot find that page");
});
app.listen(3000, () => {
  console.log("Listening on port 3000");
});
"""
THIRD = """app.get("/third", (req, res) => {
  res.json({ Page: "This is the third page." });
});
"""
EXPRESS = {"express": "file:/opt/express.tgz"}
IGNORED = "node_modules\nDockerfile\n.dockerignore\n"


def node(engine: Engine, folder: Path) -> None:
    """a Node and express server: built, published, changed, and built again with what is cached"""
    _node_base(engine, folder)
    app = folder / "app"
    (app / "node_modules/stale").mkdir(parents=True)
    (app / "package.json").write_text(json.dumps({"name": "app", "dependencies": EXPRESS}))
    (app / "index.js").write_text(INDEX % "")
    (app / "Dockerfile").write_text(DOCKERFILE)
    (app / ".dockerignore").write_text(IGNORED)
    said = engine("build", "-t", "app:1", str(app))
    expect("Successfully tagged app:1" in said, "the image is built")
    inside = engine("run", "--rm", "app:1", "ls", "-A").split()
    expect({"Dockerfile", ".dockerignore"}.isdisjoint(inside) and "node_modules" in inside, "what is ignored stays out")
    with engine.removing(containers=("web",)):
        url = _started(engine, "app:1")
        for path, page in (("/", "homepage"), ("/first", "first page."), ("/second", "second page.")):
            expect(page in _get(url + path)[1], f"{path} answers: {_get(url + path)[1]}")
        expect(_get(url + "/third")[0] == 404, "/third is not there yet")
    expect(engine("build", "-t", "app:1b", str(app)).count("CACHED") == 3, "nothing changed: nothing runs")
    (app / "index.js").write_text(INDEX % THIRD)
    said = engine("build", "--explain", "-t", "app:2", str(app))
    expect("index.js changed" in said and said.count("CACHED") == 1, "the source changed: npm install runs again")
    (app / "Dockerfile").write_text(BETTER)
    engine("build", "-t", "app:3", str(app))
    (app / "index.js").write_text(INDEX % THIRD.replace("third page", "very third page"))
    said = engine("build", "--explain", "-t", "app:4", str(app))
    expect(said.count("CACHED") == 3 and "index.js changed" in said, "better ordered: only COPY . /app runs again")
    with engine.removing(containers=("web",)):
        expect("very third page" in _get(_started(engine, "app:4") + "/third")[1], "/third answers from the new image")
    (app / "package.json").write_text(json.dumps({"name": "app2", "dependencies": EXPRESS}))
    expect(engine("build", "-t", "app:5", str(app)).count("CACHED") == 1, "package.json changed: npm install runs too")


def _node_base(engine: Engine, folder: Path) -> None:
    """``node``: the programs, npm told to ask nobody, and express with all that it needs in one archive."""
    base = folder / "base"
    base.mkdir()
    shutil.copy(_express(folder), base / "express.tgz")
    (base / "Dockerfile").write_text(
        f"FROM {IMAGE}\nENV npm_config_offline=true npm_config_audit=false npm_config_fund=false\n"
        "COPY express.tgz /opt/\n"
    )
    engine("build", "-t", "node:latest", "-t", "node:21-alpine3.19", str(base))


def _express(folder: Path) -> Path:
    if given := os.environ.get("DOCKET_EXPRESS"):
        return Path(given)
    work = folder / "express"
    work.mkdir()

    def npm(*words: str, inside: Path) -> None:
        subprocess.run(["npm", *words, "--no-audit", "--no-fund", "--loglevel=error"], cwd=inside, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    npm("pack", "express@4", inside=work)
    subprocess.run(["tar", "-xzf", *(path.name for path in work.glob("express-*.tgz"))], cwd=work, check=True)
    package = work / "package"
    npm("install", "--omit=dev", inside=package)
    manifest = json.loads((package / "package.json").read_text())
    manifest = {key: value for key, value in manifest.items() if key not in ("devDependencies", "scripts")}
    (package / "package.json").write_text(json.dumps({**manifest, "bundleDependencies": True}))
    npm("pack", inside=package)
    return next(package.glob("express-*.tgz"))


def _started(engine: Engine, image: str) -> str:
    engine("run", "-d", "--name", "web", "-p", "127.0.0.1:0:3000", image)
    address = engine("port", "web", "3000").splitlines()[0]
    eventually(lambda: _get(f"http://{address}/")[0] == 200, "the server answers")
    return f"http://{address}"


def _get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def python(engine: Engine, folder: Path) -> None:
    """a Python application: pip installs a wheel of the context in one stage, the next has what that made"""
    app = folder / "python"
    app.mkdir()
    wheel = "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(app / wheel, "w") as archive:
        archive.writestr("greeting.py", "def greet(name):\n    return f'hello {name}'\n")
        about = "greeting-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (app / "requirements.txt").write_text("greeting==1.0\n")
    (app / "main.py").write_text("import greeting, sys\nprint(greeting.greet(sys.argv[1]))\n")
    (app / "Dockerfile").write_text(
        f"FROM {IMAGE} AS wheels\nWORKDIR /w\nCOPY requirements.txt *.whl ./\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install --no-index --find-links=. --target=/site -r "
        f"requirements.txt\nFROM {IMAGE}\nENV PYTHONPATH=/site\nCOPY --link --from=wheels /site /site\nCOPY main.py /\n"
        'ENTRYPOINT ["python3", "/main.py"]\nCMD ["world"]\n'
    )
    engine("build", "-t", "greeter", str(app))
    expect(engine("run", "--rm", "greeter", "docket") == "hello docket", "the application runs with what pip installed")
    (app / "main.py").write_text("import greeting\nprint(greeting.greet('again'))\n")
    expect(engine("build", "-t", "greeter", str(app)).count("CACHED") == 4, "the program changed: pip doesn't run")
    expect(engine("run", "--rm", "greeter") == "hello again", "and the new one runs")


def static(engine: Engine, folder: Path) -> None:
    """a static C program out of a stage with gcc into scratch, and out of the engine as a file"""
    app = folder / "static"
    app.mkdir()
    (app / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello from scratch"); return 0; }\n')
    (app / "Dockerfile").write_text(
        f"FROM {IMAGE} AS build\nCOPY hello.c /src/\nRUN gcc -static -Os -s -o /hello /src/hello.c\n"
        'FROM scratch\nCOPY --from=build /hello /hello\nCMD ["/hello"]\n'
    )
    engine("build", "-t", "hello", str(app))
    expect(engine("run", "--rm", "hello") == "hello from scratch", "it runs where there is nothing else")
    size = int(engine("image", "inspect", "--format", "{{.Size}}", "hello"))
    expect(size < 2_000_000, f"the image has {size / 1e6:.2f} MB")
    out = folder / "out"
    engine("build", "-o", str(out), str(app))
    ran = subprocess.run([str(out / "hello")], capture_output=True, text=True, check=True).stdout
    expect(ran == "hello from scratch\n" and [path.name for path in out.iterdir()] == ["hello"], "so it does outside")


PARTS = {"node": node, "python": python, "static": static}


def main() -> None:
    image, names = what_to_show("scripts/demonstrate-build", "Builds with real programs.", PARTS)
    with ground(image, PACKAGES, IMAGE) as (engine, _), tempfile.TemporaryDirectory() as folder:
        for name in names:
            show(f"{name}: {PARTS[name].__doc__}")
            PARTS[name](engine, Path(folder))


if __name__ == "__main__":
    main()
