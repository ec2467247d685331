"""dockerode, the library of Node: a life of a container, its streams, images, volumes, networks, events.

IMAGE is ``NAME:latest``, a busybox that was imported before the first call. What it raises is named by the status.
"""

from __future__ import annotations

from clients.calls import Call

LOOP = "['sh', '-c', 'trap exit TERM; echo out; echo err >&2; while :; do sleep 0.1; done']"

CALLS = [
    Call("(await docker.ping()).toString()", "OK"),
    Call("(await docker.version()).Os", "linux"),
    Call("(await docker.info()).OSType", "linux"),
    Call("(scope.s = sink(), scope.r = await docker.run('IMAGE', ['echo', 'hi'], s, {HostConfig: {AutoRemove: true,"
         " NetworkMode: 'none'}}), [r[0].StatusCode, s.text()])", [0, "hi\r\n"]),
    Call(f"(scope.c = await docker.createContainer({{Image: 'IMAGE', name: 'NAME-node', Cmd: {LOOP}, Labels: {{tests:"
         " 'NAME'}, HostConfig: {NetworkMode: 'none'}})).id.length", 64),
    Call("docker.createContainer({Image: 'IMAGE', name: 'NAME-node', Cmd: ['x']})", raises="409"),
    Call("docker.createContainer({Image: 'NAME-none'})", raises="404"),
    Call("(await c.start()).length", 0),
    Call("c.start()", raises="304"),
    Call("(await c.inspect()).State.Status", "running"),
    Call("(await docker.listContainers({filters: {label: ['tests=NAME']}})).map((x) => [x.Names, x.State, x.Image])",
         [[["/NAME-node"], "running", "IMAGE"]]),
    Call("(scope.e = await c.exec({Cmd: ['sh', '-c', 'echo o; echo e >&2; exit 3'], AttachStdout: true,"
         " AttachStderr: true}), await demux(await e.start({hijack: true})))", ["o\n", "e\n"]),
    Call("(await e.inspect()).ExitCode", 3),
    Call("(scope.e = await c.exec({Cmd: ['cat'], AttachStdin: true, AttachStdout: true}), scope.s = await e.start("
         "{hijack: true, stdin: true}), s.end('through cat'), await demux(s))", ["through cat", ""]),
    Call("(await c.logs({stdout: true, stderr: false})).toString().slice(8)", "out\n"),
    Call("(await c.stats({stream: false})).name", "/NAME-node"),
    Call("(await c.top()).Titles"),
    Call("(await c.pause(), await c.unpause(), await c.rename({name: 'NAME-node2'}), (await c.inspect()).Name)",
         "/NAME-node2"),
    Call("(await c.update({Memory: 1 << 26, MemorySwap: 1 << 26}), (await c.inspect()).HostConfig.Memory)", 1 << 26),
    Call("(await read(await c.getArchive({path: '/etc/os-release'}))).includes('ID=test')", True),
    Call("c.getArchive({path: '/none'})", raises="404"),
    Call("(later(() => c.stop({t: 2})), (await c.wait()).StatusCode)", 0),
    Call("(scope.i = await c.commit({repo: 'NAME', tag: 'node', comment: 'why'})).Id.slice(0, 7)", "sha256:"),
    Call("(await docker.getImage('NAME:node').inspect()).RepoTags", ["NAME:node"]),
    Call("docker.getImage('NAME:none').inspect()", raises="404"),
    Call("(await docker.getImage('NAME:node').history()).length", 2),
    Call("(await docker.getImage('NAME:node').remove())[0]", {"Untagged": "NAME:node"}),
    Call("(scope.v = await docker.createVolume({Name: 'NAME-nv', Labels: {a: 'b'}}), (await v.inspect()).Labels)",
         {"a": "b"}, differs="createVolume gives another thing in older ones"),
    Call("(await docker.listVolumes({filters: {name: ['NAME-nv']}})).Volumes.map((x) => x.Name)", ["NAME-nv"]),
    Call("docker.getVolume('NAME-nv').remove()"),
    Call("(scope.n = await docker.createNetwork({Name: 'NAME-nn', Internal: true, IPAM: {Config: [{Subnet:"
         " '10.213.10.0/24'}]}}), (await n.inspect()).Internal)", True),
    Call("n.remove()"),
    Call("(scope.ev = await docker.getEvents({filters: {type: ['volume'], event: ['create']}}), later(() =>"
         " docker.createVolume({Name: 'NAME-nw'})), (await first(ev)).Actor.ID)", "NAME-nw"),
    Call("docker.getVolume('NAME-nw').remove({force: true})"),
    Call("c.remove({v: true, force: true})"),
    Call("c.inspect()", raises="404"),
]  # fmt: skip


def calls() -> list[Call]:
    return CALLS
