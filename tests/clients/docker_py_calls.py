"""docker-py: containers, images, networks, volumes, exec, events, and the low-level API.

IMAGE is ``NAME:latest``, a busybox that was imported before the first call.
"""

from __future__ import annotations

from clients.calls import Call

LOOP = "['sh', '-c', 'trap exit TERM; echo out; echo err >&2; while :; do sleep 0.1; done']"

ENGINE = [
    Call("client.ping()", True),
    Call("[client.version()[key] for key in ('Arch', 'Os', 'KernelVersion')]"),
    Call("[client.info()[key] for key in ('OSType', 'NCPU', 'MemTotal', 'Architecture', 'Name')]"),
    Call("{'BuildCache', 'Containers', 'Images', 'LayersSize', 'Volumes'} <= set(client.df())", True),
]  # fmt: skip

CONTAINERS = [
    Call("client.containers.run('IMAGE', 'echo hi', remove=True, network_mode='none')", "hi\n"),
    Call("client.containers.run('IMAGE', ['sh', '-c', 'echo out; echo err >&2'], remove=True, stderr=True,"
         " network_mode='none').decode().split()"),
    Call("client.containers.run('IMAGE', 'false', remove=True, network_mode='none')", raises="ContainerError"),
    Call("client.containers.run('IMAGE', 'nope', remove=True, network_mode='none')", raises="APIError"),
    Call("client.containers.create('NAME-none')", raises="ImageNotFound"),
    Call("client.containers.get('NAME-none')", raises="NotFound"),
    Call(f"(c := client.containers.run('IMAGE', {LOOP}, name='NAME-py', detach=True, network_mode='none',"
         " labels={'tests': 'NAME'}, environment={'A': 'b'}, mem_limit='64m', volumes={'NAME-pv': {'bind': '/v',"
         " 'mode': 'rw'}}, tmpfs={'/t': 'size=1m'}, stop_signal='SIGTERM', auto_remove=False)).name", "NAME-py"),
    Call("client.containers.create('IMAGE', 'true', name='NAME-py')", raises="APIError"),
    Call("(c.reload(), c.status)[1]", "running"),
    Call("c.image.tags", ["IMAGE"]),
    Call("sorted(c.attrs)", differs="older Dockers have other fields"),
    Call("[c.attrs['Config'][key] for key in ('Env', 'Cmd', 'Image', 'Labels', 'StopSignal', 'Tty')]"),
    Call("[c.attrs['HostConfig'][key] for key in ('Memory', 'Binds', 'Tmpfs', 'NetworkMode', 'Privileged')]"),
    Call("[x.name for x in client.containers.list(filters={'label': 'tests=NAME'})]", ["NAME-py"]),
    Call("[x.status for x in client.containers.list(all=True, filters={'name': 'NAME-py'})]", ["running"]),
    Call("client.containers.list(filters={'nope': 'x'})", raises="APIError"),
    Call("soon(lambda: c.logs(stdout=True, stderr=False))", "out\n"),
    Call("c.logs(stdout=False, stderr=True)", "err\n"),
    Call("c.logs(tail=0)", ""),
    Call("len(c.logs(timestamps=True, stderr=False).split()[0]) > 20", True),
    Call("next(c.logs(stream=True, follow=True, stderr=False))", "out\n"),
    Call("c.top()['Titles']"),
    Call("c.top(ps_args='-o pid,args')['Titles']", ["PID", "COMMAND"]),
    Call("sorted(c.stats(stream=False))", differs="other counters"),
    Call("(lambda s: [s['name'], s['id'] == c.id, s['cpu_stats']['online_cpus'], s['memory_stats']['limit']])"
         "(c.stats(stream=False))"),
    Call("next(c.stats(stream=True, decode=True))['name']", "/NAME-py"),
    Call("(c.pause(), c.reload(), c.status)[2]", "paused"),
    Call("c.pause()", raises="APIError"),
    Call("(c.unpause(), c.reload(), c.status)[2]", "running"),
    Call("(c.rename('NAME-pz'), c.reload(), c.name)[2]", "NAME-pz"),
    Call("(c.update(mem_limit='96m', memswap_limit='96m'), c.reload(), c.attrs['HostConfig']['Memory'])[2]", 96 << 20),
    Call("(c.restart(timeout=1), c.reload(), c.status)[2]", "running"),
    Call("c.kill(signal='WINCH')"),
    Call("c.kill(signal='NOPE')", raises="APIError"),
    Call("c.remove()", raises="APIError"),
    Call("c.diff()", differs="a mount point is no change of ours"),
    Call("c.resize(40, 80)", raises="APIError", differs="Docker takes the size of what has no terminal"),
]

EXECS = [
    Call("tuple(c.exec_run('echo hi'))", [0, "hi\n"]),
    Call("tuple(c.exec_run(['sh', '-c', 'echo o; echo e >&2; exit 3'], demux=True))", [3, ["o\n", "e\n"]]),
    Call("tuple(c.exec_run('nope'))[0]", 127, differs="126 before Docker 25"),
    Call("c.exec_run('pwd', workdir='/t', user='1:1', environment={'X': 'y'}).output", "/t\n"),
    Call("b''.join(c.exec_run(['sh', '-c', 'echo a; echo b'], stream=True).output)", "a\nb\n"),
    Call("c.exec_run('tty', tty=True).output.decode().startswith('/dev/pts/')", True),
    Call("c.exec_run('true', detach=True).output", ""),
    Call("(e := api.exec_create(c.id, ['cat'], stdin=True))['Id'] != ''", True),
    Call("ask(api.exec_start(e['Id'], socket=True), b'through cat', end=True)[8:]", "through cat"),
    Call("soon(lambda: api.exec_inspect(e['Id'])['Running'] is False)", True),
    Call("[api.exec_inspect(e['Id'])[key] for key in ('ExitCode', 'OpenStdin', 'OpenStdout', 'CanRemove')]"),
    Call("api.exec_inspect(e['Id'])['ProcessConfig']"),
    Call("api.exec_start(e['Id'])", raises="APIError", differs="Docker 20 answers with nothing"),
    Call("api.exec_inspect('nope')", raises="NotFound"),
    Call("(t := api.exec_create(c.id, ['cat'], stdin=True, tty=True))['Id'] != ''", True),
    Call("'typed' in ask(api.exec_start(t['Id'], tty=True, socket=True), b'typed\\n\\x04', end=False)", True),
]

FILES = [
    Call("c.put_archive('/t', tar_of('f', b'content'))", True),
    Call("c.exec_run('cat /t/f').output", "content", differs="Docker 20 writes beneath the tmpfs"),
    Call("(lambda found: [names_in(found[0]), found[1]['name'], found[1]['size']])(c.get_archive('/t/f'))",
         [["f"], "f", 7]),
    Call("c.get_archive('/none')", raises="NotFound"),
    Call("c.put_archive('/none', tar_of('f', b''))", raises="NotFound", differs="docker-py 5 and 7 differ"),
    Call("c.put_archive('/', b'no archive')", raises="APIError"),
    Call("'bin/busybox' in names_in(c.export())", True),
    Call("(i := c.commit('NAME', 'py', message='why', author='me', changes='CMD [\"x\"]')).tags", ["NAME:py"]),
    Call("[i.attrs['Config']['Cmd'], i.attrs['Comment'], i.attrs['Author']]", [["x"], "why", "me"]),
]

ATTACHING = [
    Call("(a := client.containers.create('IMAGE', 'cat', stdin_open=True, network_mode='none', name='NAME-pa')).status",
         "created"),
    Call("(s := a.attach_socket(params={'stdin': 1, 'stdout': 1, 'stderr': 1, 'stream': 1})) is not None", True),
    Call("a.start()"),
    Call("ask(s, b'through cat', end=True)[8:]", "through cat"),
    Call("a.wait()['StatusCode']", 0),
    Call("a.attach(stdout=True, logs=True)", differs="docker-py reads a moment too early, or not"),
    Call("(later(lambda: a.remove()), a.wait(condition='removed')['StatusCode'])[1]", 0),
    Call("(b := client.containers.create('IMAGE', ['sh', '-c', 'exit 4'], network_mode='none', name='NAME-pb')).name",
         "NAME-pb"),
    Call("(later(b.start), b.wait(condition='next-exit')['StatusCode'])[1]", 4),
    Call("b.wait(condition='nope')", raises="APIError", differs="Docker 20 takes any"),
    Call("b.wait(timeout=5)['StatusCode']", 4),
    Call("b.remove(v=True)"),
    Call("b.reload()", raises="NotFound"),
]

IMAGES = [
    Call("client.images.get('IMAGE').tags", ["IMAGE"]),
    Call("client.images.get('NAME:none')", raises="ImageNotFound"),
    Call("sorted(tag for image in client.images.list('NAME') for tag in image.tags)", ["IMAGE", "NAME:py"]),
    Call("client.images.get('IMAGE').tag('NAME', 'second')", True),
    Call("sorted(client.images.get('IMAGE').history()[0])",
         ["Comment", "Created", "CreatedBy", "Id", "Size", "Tags"]),
    Call("(saved := b''.join(client.images.get('NAME:second').save(named='NAME:second'))) != b''", True),
    Call("client.images.remove('NAME:second')"),
    Call("'NAME:second' in client.images.load(saved)[0].tags", True),
    Call("client.images.remove('NAME:second')"),
    Call("(lambda found: found[0].attrs['Config']['Cmd'])(client.images.build(fileobj=io.BytesIO("
         "b'FROM IMAGE\\nRUN echo x >/x\\nCMD [\"cat\", \"/x\"]\\n'), tag='NAME:pybuilt', network_mode='none',"
         " rm=True))", ["cat", "/x"]),
    Call("client.images.build(fileobj=io.BytesIO(b'FROM IMAGE\\nRUN exit 3\\n'), network_mode='none', rm=True)",
         raises="BuildError"),
    Call("client.images.remove('NAME:pybuilt')"),
    Call("client.images.pull('localhost:1/NAME-none', tag='x')", raises="APIError", differs="no registry is in reach"),
    Call("client.images.prune({'label': 'tests=NAME-x'})", {"ImagesDeleted": None, "SpaceReclaimed": 0}),
]  # fmt: skip

VOLUMES = [
    Call("(v := client.volumes.create('NAME-pw', labels={'tests': 'NAME'})).name", "NAME-pw"),
    Call("[v.attrs[key] for key in ('Driver', 'Labels', 'Options', 'Scope')]",
         ["local", {"tests": "NAME"}, None, "local"]),
    Call("sorted(x.name for x in client.volumes.list(filters={'name': 'NAME'}))", ["NAME-pv", "NAME-pw"]),
    Call("client.volumes.get('NAME-none')", raises="NotFound"),
    Call("client.volumes.get('NAME-pv').remove()", raises="APIError"),
    Call("v.remove()"),
    Call("client.volumes.prune({'label': 'tests=NAME-x'})", {"VolumesDeleted": [], "SpaceReclaimed": 0}),
]

NETWORKS = [
    Call("(n := client.networks.create('NAME-pn', ipam=docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool("
         "subnet='10.213.9.0/24')]), labels={'tests': 'NAME'}, check_duplicate=True)).name", "NAME-pn"),
    Call("[n.attrs[key] for key in ('Driver', 'Scope', 'Internal', 'Labels', 'EnableIPv6')]"),
    Call("n.attrs['IPAM']['Config'][0]['Subnet']", "10.213.9.0/24"),
    Call("[x.name for x in client.networks.list(names=['NAME-pn'])]", ["NAME-pn"]),
    Call("(d := client.containers.run('IMAGE', 'sleep 100', detach=True, network='NAME-pn', name='NAME-pd',"
         " ports={'80/tcp': ('127.0.0.1', 18081)})).name", "NAME-pd"),
    Call("(d.reload(), d.ports)[1]", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}]}),
    Call("sorted(d.attrs['NetworkSettings']['Networks'])", ["NAME-pn"]),
    Call("[x.name for x in (n.reload(), n.containers)[1]]", ["NAME-pd"]),
    Call("(n.disconnect(d), d.reload(), d.attrs['NetworkSettings']['Networks'])[2]", {}),
    Call("(n.connect(d, aliases=['first'], ipv4_address='10.213.9.7'), d.reload(),"
         " d.attrs['NetworkSettings']['Networks']['NAME-pn']['IPAddress'])[2]", "10.213.9.7"),
    Call("n.remove()", raises="APIError"),
    Call("client.networks.get('NAME-none')", raises="NotFound"),
    Call("d.remove(force=True)"),
    Call("n.remove()"),
    Call("client.networks.prune({'label': 'tests=NAME-x'})", {"NetworksDeleted": None}),
]

OPTIONS = [
    Call("(o := client.containers.create('IMAGE', ['sleep', '100'], name='NAME-po', network_mode='none',"
         " cap_add=['NET_ADMIN'], cap_drop=['MKNOD'], cpu_period=100000, cpu_quota=50000, cpu_shares=512,"
         " cpuset_cpus='0', device_read_bps=[{'Path': '/dev/null', 'Rate': 1000}], devices=['/dev/null:/dev/nul:rwm'],"
         " dns=['9.9.9.9'], dns_opt=['ndots:2'], dns_search=['a.example'], domainname='dom',"
         " entrypoint=['/bin/sh', '-c'], extra_hosts={'h': '1.2.3.4'}, group_add=['5'], healthcheck={'test':"
         " ['CMD', 'true'], 'interval': 1000000000, 'retries': 2}, hostname='host', init=True, ipc_mode='private',"
         " log_config=docker.types.LogConfig(type='json-file', config={'max-size': '1m', 'compress': 'true'}),"
         " mem_limit='64m', mem_reservation='32m', mem_swappiness=5, memswap_limit='96m', oom_score_adj=7,"
         " pids_limit=9, mounts=[docker.types.Mount('/m', 'NAME-pq'), docker.types.Mount('/t', None, type='tmpfs',"
         " tmpfs_size='1m')],"
         " ports={'80/tcp': None, '90/udp': ('127.0.0.1', 18095)}, publish_all_ports=True, read_only=True,"
         " restart_policy={'Name': 'on-failure', 'MaximumRetryCount': 2}, security_opt=['no-new-privileges'],"
         " shm_size='8m', stop_signal='SIGINT', sysctls={'kernel.shmmax': '1000'}, tmpfs={'/u': 'size=1m'},"
         " ulimits=[docker.types.Ulimit(name='nofile', soft=9, hard=19)], user='1:2', volumes={'/tmp': {'bind': '/h',"
         " 'mode': 'ro'}}, working_dir='/w', tty=True, stdin_open=True, environment=['A=b', 'C'])).status", "created"),
    Call("[o.attrs['HostConfig'][key] for key in ('CapAdd', 'CapDrop', 'CpuPeriod', 'CpuQuota', 'CpuShares',"
         " 'CpusetCpus', 'BlkioDeviceReadBps', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'GroupAdd',"
         " 'Init', 'IpcMode', 'Memory', 'MemoryReservation', 'MemorySwap', 'MemorySwappiness', 'OomScoreAdj',"
         " 'PidsLimit', 'PortBindings', 'PublishAllPorts', 'ReadonlyRootfs', 'SecurityOpt', 'ShmSize', 'Sysctls',"
         " 'Tmpfs', 'Binds')]"),
    Call("[sorted(one.items()) for one in (o.attrs['HostConfig']['RestartPolicy'],"
         " *o.attrs['HostConfig']['Devices'], *o.attrs['HostConfig']['Ulimits'],"
         " o.attrs['HostConfig']['LogConfig']['Config'], o.attrs['Config']['Healthcheck'])]"),
    Call("[o.attrs['Config'][key] for key in ('Hostname', 'Domainname', 'User', 'Env', 'Cmd', 'Entrypoint',"
         " 'StopSignal', 'WorkingDir', 'ExposedPorts', 'Tty', 'OpenStdin', 'Labels', 'Volumes')]"),
    Call("o.remove(v=True)"),
    Call("client.volumes.get('NAME-pq').remove()"),
]  # fmt: skip

LOW_LEVEL = [
    Call("(l := api.create_container('IMAGE', ['sh', '-c', 'echo one; echo two >&2; exit 2'], name='NAME-pl',"
         " host_config=api.create_host_config(network_mode='none')))['Warnings']", []),
    Call("(api.start(l['Id']), api.wait(l['Id'])['StatusCode'])[1]", 2),
    Call("[api.logs(l['Id'], stdout=True, stderr=False), api.logs(l['Id'], until=1)]", ["one\n", ""]),
    Call("[list(api.logs(l['Id'], stream=True, follow=True, stderr=False))]", [["one\n"]]),
    Call("[api.inspect_container(l['Id'])['State'][key] for key in ('Status', 'ExitCode', 'OOMKilled', 'Dead',"
         " 'Paused', 'Restarting', 'Error', 'Pid', 'Running')]"),
    Call("[[x['Names'], x['State'], x['Image'], x['Command'], x['Ports'], x['Labels'], x['Mounts'], x['HostConfig']]"
         " for x in api.containers(all=True, filters={'name': 'NAME-pl'})]"),
    Call("sorted(api.containers(all=True, filters={'name': 'NAME-pl'}, size=True)[0])"),
    Call("api.port(l['Id'], 80)"),
    Call("api.diff(l['Id'])"),
    Call("api.stop('NAME-none')", raises="NotFound"),
    Call("api.pause(l['Id'])", raises="APIError"),
    Call("api.rename(l['Id'], '')", raises="APIError"),
    Call("api.update_container(l['Id'], mem_limit='32m', memswap_limit='64m', cpu_shares=10)['Warnings']"),
    Call("api.remove_container(l['Id'])"),
    Call("api.remove_container(l['Id'])", raises="NotFound"),
    Call("api.create_container('IMAGE', 'x', name='-bad')", raises="APIError"),
    Call("api.images('NAME', quiet=True)[0][:7]", "sha256:"),
    Call("(api.tag('IMAGE', 'NAME', 'three'), [sorted(x.items()) for x in api.remove_image('NAME:three')])[1]"),
    Call("api.tag('IMAGE', 'UPPER')", raises="APIError"),
    Call("api.create_volume('NAME-pva', driver_opts={'type': 'tmpfs', 'device': 'tmpfs', 'o': 'size=1m'},"
         " labels={'tests': 'NAME'})['Options']"),
    Call("[[x['Name'] for x in api.volumes(filters={'name': 'NAME-pva'})['Volumes']],"
         " sorted(api.inspect_volume('NAME-pva'))]"),
    Call("(api.remove_volume('NAME-pva'), api.volumes(filters={'name': 'NAME-pva'}))[1]"),
    Call("api.create_volume('a/b')", raises="APIError"),
    Call("client.networks.create('NAME-pk', driver='nope')", raises="NotFound"),
    Call("client.networks.create('bridge')", raises="APIError"),
    Call("client.networks.list(filters={'nope': 'x'})", raises="APIError"),
    Call("client.images.list(filters={'nope': 'x'})", raises="APIError"),
    Call("client.volumes.list(filters={'nope': 'x'})", raises="APIError"),
    Call("client.containers.prune(filters={'until': 'x'})", raises="APIError"),
    Call("client.images.build(fileobj=io.BytesIO(b'FROM IMAGE\\nCOPY none /\\n'), rm=True)", raises="BuildError"),
    Call("client.containers.run('IMAGE', 'true', network_mode='none', mem_limit='1k')", raises="APIError"),
    Call("client.secrets.list()", raises="APIError"),
    Call("client.plugins.get('nope')", raises="NotFound"),
    Call("client.info()['Swarm']['LocalNodeState']", "inactive"),
]  # fmt: skip

ENDS = [
    Call("(c.stop(timeout=2), c.reload(), c.attrs['State']['Status'], c.attrs['State']['ExitCode'])[2:]",
         ["exited", 0]),
    Call("[[e['Type'], e['Action']] for e in api.events(since=int(__import__('time').time()) - 300,"
         " until=int(__import__('time').time()) + 1, decode=True, filters={'container': 'NAME-pd', 'type':"
         " 'container'})]",
         [["container", action] for action in ("create", "start", "kill", "die", "destroy")]),
    Call("(lambda stream: (later(lambda: client.volumes.create('NAME-px')), next(stream)['Actor']['ID'],"
         " stream.close())[1])(client.events(decode=True, filters={'type': 'volume', 'event': 'create'}))", "NAME-px"),
    Call("client.volumes.get('NAME-px').remove(force=True)"),
    Call("c.remove(v=True)"),
    Call("client.volumes.get('NAME-pv').remove()"),
    Call("client.images.remove('NAME:py', force=True)"),
    Call("[x['Names'] for x in api.containers(all=True, filters={'name': ['NAME-p']})]", []),
    Call("client.containers.prune({'label': 'tests=NAME-x'})", {"ContainersDeleted": None, "SpaceReclaimed": 0}),
    Call("client.nodes.list()", raises="APIError"),
    Call("client.services.list()", raises="APIError"),
    Call("client.plugins.list()", []),
]  # fmt: skip


def calls() -> list[Call]:
    parts = (ENGINE, CONTAINERS, EXECS, FILES, ATTACHING, IMAGES, VOLUMES, NETWORKS, OPTIONS, LOW_LEVEL, ENDS)
    return [call for part in parts for call in part]
