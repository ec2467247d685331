"""What help says beyond a command's own words: where to read on, and topics that concern many commands."""

from __future__ import annotations

SEE_ALSO = {
    "attach": ("exec", "logs", "run"),
    "audit head": ("audit verify",),
    "audit redact": ("audit trail", "audit verify", "help memory"),
    "audit trail": ("audit who-ran", "events", "inspect", "help memory"),
    "audit verify": ("audit head", "help memory"),
    "audit who-ran": ("audit trail", "inspect", "help memory"),
    "build": ("builder prune", "history", "run", "audit trail"),
    "builder prune": ("build", "system df", "system prune"),
    "bundle export": ("export", "inspect"),
    "commit": ("diff", "build", "history"),
    "container prune": ("rm", "system prune", "help filter"),
    "context create": ("context use", "context export", "help contexts"),
    "context use": ("context ls", "context show", "help contexts"),
    "cp": ("exec", "export", "diff"),
    "create": ("start", "run", "rm"),
    "daemon": ("info", "help environment", "help contexts"),
    "diff": ("commit", "cp"),
    "events": ("audit trail", "logs", "help filter", "help format"),
    "exec": ("attach", "top", "logs"),
    "export": ("import", "save", "cp"),
    "history": ("build", "audit trail", "image inspect"),
    "images": ("pull", "build", "rmi", "help filter", "help format"),
    "import": ("export", "load", "build"),
    "info": ("version", "system df"),
    "inspect": ("audit trail", "ps", "help format", "help memory"),
    "kill": ("stop", "rm"),
    "load": ("save", "import", "pull"),
    "login": ("logout", "pull", "push"),
    "logs": ("attach", "events", "help logging"),
    "network connect": ("network disconnect", "network inspect", "help networks"),
    "network create": ("network connect", "network ls", "help networks"),
    "port": ("ps", "help networks"),
    "ps": ("inspect", "logs", "stats", "help filter", "help format"),
    "pull": ("images", "login", "run"),
    "push": ("tag", "login"),
    "restart": ("stop", "start"),
    "rm": ("stop", "container prune", "audit trail"),
    "rmi": ("images", "image prune"),
    "run": ("exec", "logs", "stop", "inspect", "help networks", "help volumes", "help logging"),
    "save": ("load", "push"),
    "start": ("stop", "attach", "run"),
    "stats": ("top", "update", "ps"),
    "stop": ("start", "kill", "rm"),
    "system df": ("system prune", "builder prune"),
    "system dial-stdio": ("help contexts",),
    "system fsck": ("audit verify", "pull"),
    "system prune": ("system df", "container prune", "image prune", "volume prune"),
    "tag": ("push", "rmi"),
    "top": ("stats", "exec"),
    "update": ("stats", "inspect"),
    "volume create": ("run", "volume inspect", "help volumes"),
    "wait": ("stop", "events"),
}
"""Command, by its shortest path -> what to read next; "help TOPIC" names a topic."""


def see_also(path: str, aliases: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """For a command by any of its paths."""
    return next((SEE_ALSO[name] for name in (path, *aliases) if name in SEE_ALSO), ())


TOPICS: dict[str, tuple[str, str]] = {
    "first-steps": ("The first ten minutes", """
An image is a file system with instructions how to run it; a container is a process (and its children) that sees
this file system, a network and a process table of its own.

  docket pull alpine                      an image from a registry (Docker Hub, where none is named)
  docket run --rm -it alpine sh           a shell in a fresh container, which is gone afterwards
  docket run -d --name web -p 8000:80 nginx
  docket ps; docket logs -f web           what runs, and what it says
  docket exec -it web sh                  one more process in it
  docket stop web; docket start web; docket rm -f web
  docket build -t app .                   an image by a Dockerfile
  docket audit trail web                  what happened to it, and who asked for it

The first command starts the daemon, as root. Names and flags are Docker's, and `docker -H` drives this engine, too.
"""),
    "contexts": ("Engines on other machines", """
A context is a named place where an engine listens. Docker's command uses the same ones.

  docket context create far --docker host=ssh://admin@far.example
  docket context create tls --docker host=tcp://far:2376,ca=ca.pem,cert=cert.pem,key=key.pem
  docket --context far ps                 this once
  docket context use far                  from now on (also for `docker`); `use default` goes back

What counts, the first that there is: --context or --host, DOCKET_HOST, DOCKET_CONTEXT, DOCKER_HOST, DOCKER_CONTEXT,
what `context use` chose, and the socket on this machine. Docker's settings don't count where --root, --run-dir,
DOCKET_ROOT or DOCKET_RUN name an engine. ssh:// needs nothing at the far side but `docket` in the path.
"""),
    "environment": ("Variables and files that are read", """
  DOCKET_HOST, DOCKET_CONTEXT             where the engine listens, or the context to use (DOCKER_... too)
  DOCKET_TLS_VERIFY, DOCKET_CERT_PATH     TLS to a tcp:// host, and the folder of ca.pem, cert.pem, key.pem
  DOCKET_ROOT, DOCKET_RUN                 folders of an engine that is started (/var/lib/docket, /run/docket)
  DOCKET_CONFIG                           the daemon's settings (/etc/docket/daemon.json)
  DOCKER_CONFIG                           the user's settings: credentials, contexts (~/.docker)
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY       of the daemon: how it reaches registries

Exit status: 0 fine; 1 refused; 125 wrong flags, or `run` failed; 126 and 127 a command that can't be executed, or
isn't there; 128+N ended by signal N; else the container's own.
"""),
    "filter": ("Choosing by --filter", """
--filter NAME=VALUE may be given several times: values of one name are alternatives, names and labels must all hold.

  ps         ancestor, before, exited, expose, health, id, label, name, network, publish, since, status, volume
  images     before, dangling, label, reference, since, until
  network ls dangling, driver, id, label, name, scope, type
  volume ls  dangling, driver, label, name
  events     container, event, image, label, network, type, volume
  prune      label, label!=, until (of volumes: label, label!=, all)

  docket ps -a --filter status=exited --filter exited=137
  docket image prune -a --filter until=24h --filter 'label!=keep'
"""),
    "format": ("Output by --format", """
--format takes 'json', a Go template, or 'table TEMPLATE' with headers. {{.Field}} is a value; `inspect` has the
fields of its JSON, lists those of `--format json`.

  docket ps --format '{{.Names}}: {{.Status}}'
  docket ps --format 'table {{.Names}}\\t{{.Ports}}'
  docket inspect -f '{{.State.Pid}} {{index .Config.Labels "team"}}' web
  docket inspect -f '{{range .Mounts}}{{println .Source "->" .Destination}}{{end}}' web
  docket inspect -f '{{if .State.Running}}up{{else}}down{{end}} {{len .Mounts}} {{json .Config.Env}}' web

There are range, break, continue, if, else, with, end, define, template, block, variables, pipes, and, or, not, eq,
ne, lt, le, gt, ge, index, len, slice, print, printf, println, html, js, urlquery, and Docker's json, join, split,
lower, upper, title, pad, truncate.
"""),
    "logging": ("What containers write", """
Standard output and error go to a log file per container, in at most five files of 20 MB (unlike Docker's default,
which has no bound), and `docket logs` reads them while it runs and afterwards.

  docket logs -f --since 10m --tail 100 -t web
  docket run --log-opt max-size=1m --log-opt max-file=3 ...
  docket run --log-opt mode=non-blocking --log-opt max-buffer-size=4m ...
                                          never wait for the disk: what doesn't fit is left out, and that is on record
  docket run --log-opt labels=team --log-opt env=STAGE --log-opt tag={{.Name}} ...
                                          shown by `docket logs --details`
  docket run --log-opt compress=true ...  gzip what rotation has put aside (the default of the driver local)
  docket run --log-driver none ...

Drivers: json-file, local, none. Lines that a crash has torn are left out, and the daemon's log counts them.
"""),
    "memory": ("The event log, and questions about the past", """
Every transition is an event in an append-only log, chained by hashes: who asked (the kernel's word, or the client's
certificate), what was asked, what was done, and what the kernel confirmed of the isolation.

  docket audit trail web                  everything that ever happened to it; also of removed objects
  docket inspect --evidence web           namespaces, limits, capabilities, seccomp, mounts as they really are
  docket audit who-ran --privileged --between 7d 0s
  docket ps -a --as-of 2h                 as it was; also a date (RFC 3339) or seq:NUMBER
  docket events --since 1h                Docker's events, from the log
  docket events --since seq:NUMBER        from that event of the log on: see below
  docket audit head                       publish this elsewhere now and then ...
  docket audit verify --against SEQ:HASH  ... and a log that was rewritten is found out
  docket audit redact --reason WHY web    takes a removed container's configuration out; the chain still holds

A script that misses nothing keeps the place that it has come to, and begins with that event again:

  [ -e place ] || echo 0 >place
  while sleep 1; do  # the engine may be restarted, and this script killed
    docket events --since "seq:$(cat place)" --filter event=die \\
      --format '{{index .Actor.Attributes "docket.seq"}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}' |
    while read -r seq name code; do
      [ "$seq" = "$(cat place)" ] || echo "$name ended with $code"
      echo "$seq" >place
    done
  done
"""),
    "networks": ("How containers reach each other and the world", """
  docket run -d --name web -p 8000:80 nginx           host's port 8000 -> the container's 80
  docket network create app                           a network of your own: names resolve on it
  docket run -d --name db --network app --network-alias pg postgres
  docket network connect app web; docket network disconnect app web
  docket run --network none|host|container:web ...    none, the host's, another container's

On the network `bridge`, where containers are that name none, there are no names; --link gives some. On networks that
you made, containers find each other by name, alias and short id.
"""),
    "volumes": ("Where data lies that stays", """
A container's own writable layer goes with it. What is to stay, lies in a volume or in a folder of the host's.

  docket run -v data:/var/lib/data ...                a volume, made where there is none
  docket run -v /srv/site:/site:ro ...                a folder of the host's, read-only
  docket run --tmpfs /run ...                         memory
  docket run --mount type=volume,src=data,dst=/d,readonly ...
  docket run --volumes-from web ...
  docket volume ls --filter dangling=true; docket volume prune

A fresh volume gets what the image has at its place, unless `nocopy` is said.
"""),
}
"""Topic -> its title and its text."""


def topic_help(name: str) -> str:
    title, text = TOPICS[name]
    return f"{title}\n{text}"


def topic_list() -> str:
    """A line a topic, for the program's help."""
    return "\n".join(f"  {name:<11} {title}" for name, (title, _) in TOPICS.items())
