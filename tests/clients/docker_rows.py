"""Docker's command line, client 28: every subcommand of container, image, volume, network and system.

IMAGE is ``NAME:latest``, a busybox that was imported before the first row.
"""

from __future__ import annotations

from clients.rows import Row

LABEL = "--label tests=NAME"
ONLY = "--filter label=tests=NAME"
FORMAT = "--format '{{json .}}'"
LOOP = "IMAGE sh -c 'trap exit TERM; echo out; echo err >&2; while :; do sleep 0.1; done'"
SHARED = "it would take what others made on this engine"
LOCAL = "the local image store, the driver and the paths have our names"


def rows() -> list[Row]:
    return [
        row
        for part in (ENGINE, LIFE, LISTS, INSPECT, STREAMS, FILES, EVENTS, COPIES, OPTIONS, LIMITS, ERRORS, VOLUMES,
                     NETWORKS, IMAGES, SYSTEM, SWARM, ENDS)
        for row in part
    ]  # fmt: skip


ENGINE = [
    Row("version --format '{{.Server.Os}} {{.Server.Arch}} {{.Server.KernelVersion}}'"),
    Row("info --format '{{.OSType}} {{.Architecture}} {{.NCPU}} {{.MemTotal}} {{.Name}} {{.CgroupVersion}}"
        " {{.CgroupDriver}} {{.Driver}} {{.LoggingDriver}} {{.Swarm.LocalNodeState}}'"),
    Row("info --format '{{.Plugins.Volume}} {{.KernelVersion}} {{.OperatingSystem}} {{.IndexServerAddress}}'"),
    Row("image ls --format '{{.Repository}} {{.Tag}}' NAME"),
]

LIFE = [
    Row(f"container create --name NAME-new {LABEL} -e A=b --workdir /tmp -u 1:1 IMAGE echo hi", prints="^[0-9a-f]{64}"),
    Row(f"container create --name NAME-new {LABEL} IMAGE true", status=1, prints="is already in use by container"),
    Row(f"container run -d --name NAME-up {LABEL} --stop-timeout 3 -v NAME-data:/data --tmpfs /scratch "
        f"--network none {LOOP}"),
    Row(f"container run --name NAME-gone {LABEL} --network none IMAGE sh -c 'echo gone; exit 3'", status=3),
    Row("container start NAME-up"),
    Row("container start -a NAME-gone", status=3, prints="gone"),
    Row("container pause NAME-up"),
    Row("container pause NAME-up", status=1, prints="already paused"),
    Row("exec NAME-up true", status=1, prints="is paused, unpause the container before exec"),
    Row(f"ps -a {ONLY} --format '{{{{.Names}}}} {{{{.Status}}}} {{{{.State}}}}'"),
    Row("container unpause NAME-up"),
    Row("container unpause NAME-up", status=1, prints="is not paused"),
    Row("container rename NAME-gone NAME-down"),
    Row("container rename NAME-down NAME-up", status=1, prints="already in use"),
    Row("container restart -t 1 NAME-up"),
    Row("container kill -s WINCH NAME-up"),
    Row("container kill NAME-down", status=1, prints="is not running"),
    Row("container kill -s FOO NAME-up", status=1, prints="(?i)invalid signal"),
    Row("container wait NAME-down", prints="^3$"),
    Row("container stop NAME-down"),
    Row("container update --memory 64m --memory-swap 64m --cpus 0.5 NAME-up"),
    Row("container update --restart on-failure:2 NAME-down"),
    Row("container update --restart sometimes NAME-down", status=1),
]

LISTS = [
    Row(f"container ls -a {ONLY}"),
    Row(f"container ls -a {ONLY} --no-trunc"),
    Row(f"container ls -q {ONLY}"),
    Row(f"container ls -as {ONLY} --format '{{{{.Names}}}} {{{{.Mounts}}}} {{{{.Networks}}}} {{{{.LocalVolumes}}}}'"),
    Row(f"container ls -a {ONLY} --format '{{{{.Names}}}} {{{{.Labels}}}} {{{{.Command}}}} {{{{.Image}}}}'"),
    Row(f"container ls -n 1 {ONLY} --format '{{{{.Names}}}}'"),
    Row(f"container ls -l {ONLY} --format '{{{{.Names}}}}'"),
    *(
        Row(f"container ls {ONLY} --filter {one} --format '{{{{.Names}}}}'")
        for one in ("status=exited", "status=running", "status=created", "exited=3", "exited=4", "name=NAME-u",
                    "name=^/NAME-up$", "volume=NAME-data", "volume=/data", "network=none", "ancestor=IMAGE",
                    "ancestor=NAME", "health=none", "is-task=false", "before=NAME-up -a", "since=NAME-new -a",
                    "publish=80", "expose=80/tcp -a", "label=tests -a", "status=paused")
    ),
    Row("container ls --filter nope=1", status=1, prints="(?i)invalid filter"),
    Row("container ls --filter status=nope", status=1, prints="(?i)invalid filter"),
    Row("container ls --filter exited=x", status=1),
]  # fmt: skip

FIELDS = (
    "State.Status", "State.Running", "State.ExitCode", "State.OOMKilled", "State.Error", "Path", "Args", "Config.Cmd",
    "Config.Entrypoint", "Config.Env", "Config.Labels", "Config.Hostname", "Config.User", "Config.WorkingDir",
    "Config.Volumes", "Config.StopSignal", "Config.AttachStdout", "HostConfig.RestartPolicy", "HostConfig.Binds",
    "HostConfig.Mounts", "HostConfig.Tmpfs", "HostConfig.NanoCPUs", "HostConfig.Memory", "HostConfig.MemorySwap",
    "HostConfig.PidsLimit", "HostConfig.OomKillDisable", "HostConfig.LogConfig", "HostConfig.Init",
    "HostConfig.ShmSize", "HostConfig.IpcMode", "HostConfig.PortBindings", "HostConfig.ReadonlyPaths",
    "RestartCount", "Name", "Platform", "Driver", "NetworkSettings.Ports", "ExecIDs",
)
EVERY_FIELD = "\n".join(f"{field} {{{{json .{field}}}}}" for field in FIELDS)

INSPECT = [
    *(Row(f"container inspect -f '{EVERY_FIELD}' NAME-{name}") for name in ("up", "down", "new")),
    Row("container inspect -f '{{.HostConfig.NetworkMode}}' NAME-up NAME-down"),
    Row("container inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Driver}} {{.Mode}} {{.RW}}"
        " {{.Propagation}}{{end}}' NAME-up"),
    Row("container inspect -f '{{json .Config.StopTimeout}}' NAME-up", prints="^3$"),
    Row("container inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' NAME-up"),
    Row("container inspect -s -f '{{len .Id}}' NAME-up"),
    Row("inspect --type image NAME -f '{{json .Config.Cmd}} {{.Os}} {{.Architecture}} {{.RootFS.Type}}'"),
    Row("inspect --type volume NAME-data -f '{{.Name}} {{.Driver}} {{.Scope}} {{json .Options}}'"),
    Row("inspect NAME-none", status=1, prints="(?i)no such object: "),
]

STREAMS = [
    Row("container logs NAME-down", prints="^gone\ngone\n$"),
    Row("container logs --tail 1 NAME-down", prints="^gone\n$"),
    Row("container logs --tail 0 NAME-down"),
    Row("container logs -t NAME-down"),
    Row("container logs -f NAME-down"),
    Row("container logs --since 1h --until 0s NAME-down"),
    Row("container logs --details NAME-down"),
    Row("container logs --since 2001-01-01 NAME-down", prints="gone"),
    Row("container logs --tail x NAME-down", status=1, differs="Docker takes it for all of them"),
    Row("container logs NAME-none", status=1, prints="No such container"),
    Row("container exec NAME-up sh -c 'echo out; echo err >&2; exit 4'", status=4),
    Row("container exec -i NAME-up wc -c", input="x" * 70000, prints="^70000$"),
    Row("container exec -e A=b -w /tmp -u 1:2 NAME-up sh -c 'pwd; id -u; id -g; echo $A'"),
    Row("container exec -d NAME-up touch /tmp/seen"),
    Row("container exec --privileged NAME-up true", differs="a machine may not let Docker have all capabilities"),
    Row("container exec NAME-up nope", status=127, prints='exec: "nope": executable file not found in \\$PATH',
        differs="126 before Docker 25, and the words are in the output there"),
    Row("container exec NAME-up /etc", status=126, prints="permission denied",
        differs="the words are in the output there"),
    Row("container exec -w /nope NAME-up true", status=127, prints="chdir to cwd", differs="126 before Docker 25"),
    Row("container exec NAME-down true", status=1, prints="is not running"),
    Row("container exec NAME-none true", status=1, prints="No such container"),
    Row("container exec -u nobody-there NAME-up true", status=126, prints="unable to find user nobody-there",
        differs="the words are in the output there"),
    Row(f"run --rm -i {LABEL} --network none IMAGE cat", input="in and out", prints="^in and out$"),
    Row(f"run --rm -i {LABEL} --network none -a stdin -a stdout IMAGE sh -c 'cat; echo no >&2'", input="a"),
    Row(f"run --rm {LABEL} --network none IMAGE nope", status=127,
        prints='exec: "nope": executable file not found in \\$PATH'),
    Row(f"run --rm {LABEL} --network none IMAGE /etc", status=126, prints='exec: "/etc": .*permission denied'),
    Row(f"run --rm {LABEL} --network none --entrypoint echo IMAGE 'a b' c", prints="^a b c$"),
    Row(f"run --rm {LABEL} --network none -u nope IMAGE true", status=125,
        prints="unable to find user nope: no matching"),
    Row(f"run --rm {LABEL} --network none --hostname here IMAGE hostname", prints="^here$"),
    Row(f"run --rm {LABEL} --network none -t IMAGE tty", prints="/dev/pts/0"),
    Row("container attach NAME-down", status=1),
    Row("container top NAME-up -o pid,args", differs="pids differ from run to run"),
    Row("container top NAME-down", status=1, prints="is not running"),
    Row("container stats --no-stream --format '{{.Name}}' NAME-up"),
    Row("container stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.CPUPerc}} {{.PIDs}}' NAME-down"),
    Row("container stats --no-stream NAME-none", status=1),
    Row("container port NAME-up"),
    Row("container port NAME-up 80", status=1),
]

FILES = [
    Row("container cp - NAME-up:/tmp", status=1, input="no archive"),
    Row("container exec NAME-up sh -c 'mkdir -p /tmp/d; echo a >/tmp/d/a; ln -s a /tmp/d/l; chmod 4755 /tmp/d/a'"),
    Row("container cp NAME-up:/tmp/d ./copied"),
    Row("container cp ./copied/a NAME-down:/srv/file"),
    Row("container cp ./copied NAME-down:/srv"),
    Row("container cp NAME-down:/srv/none .", status=1,
        prints="(?i)could not find the file /srv/none in container NAME-down"),
    Row("container cp ./copied NAME-down:/none/here", status=1,
        prints="(?i)could not find the file /none in container"),
    Row("container cp ./copied NAME-down:/etc/passwd", status=1, prints="cannot copy directory"),
    Row("container cp NAME-none:/x .", status=1, prints="(?i)no such container"),
    Row("container diff NAME-down", prints="A /srv/copied/a\n(.*\n)*A /srv/file",
        differs="Docker's order is the disk's"),
    Row("container diff NAME-none", status=1, prints="No such container"),
    Row("container export -o exported.tar NAME-down"),
    Row("container commit -a me -m why -c 'CMD [\"x\"]' -c 'ENV B=c' NAME-down NAME:committed", prints="^sha256:"),
    Row("image inspect -f '{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{json .Config.Env}} {{len .RootFS.Layers}}'"
        " NAME:committed"),
    Row("container commit NAME-none", status=1, prints="No such container"),
]

EVENTS = [
    Row("system events --since 1h --until -1s --filter container=NAME-down --filter event=create --filter event=die"
        " --filter event=commit --filter event=rename --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'"),
    Row("system events --since 1h --until -1s --filter container=NAME-up --filter type=container"
        " --filter event=create --filter event=start --filter event=pause --filter event=unpause --filter event=kill"
        " --filter event=die --filter event=stop --filter event=restart --filter event=update"
        " --format '{{.Action}} {{.Actor.Attributes.signal}} {{.Actor.Attributes.exitCode}}"
        " {{.Actor.Attributes.image}}'"),
]
"""Early, since a Docker remembers 256 events, whoever made them. Until in a second, since the client cuts to whole ones
and would leave out what has just happened."""

OPTIONS_OF_A_HOST = (
    "ExtraHosts", "CapAdd", "CapDrop", "CgroupnsMode", "CpuPeriod", "CpuQuota", "CpuShares", "CpusetCpus", "CpusetMems",
    "Devices", "DeviceCgroupRules", "BlkioDeviceReadBps", "BlkioDeviceWriteIOps", "Dns", "DnsOptions", "DnsSearch",
    "GroupAdd", "Init", "IpcMode", "LogConfig", "Memory", "MemoryReservation", "MemorySwap", "MemorySwappiness",
    "OomKillDisable", "OomScoreAdj", "PidMode", "PidsLimit", "PortBindings", "PublishAllPorts", "ReadonlyRootfs",
    "RestartPolicy", "SecurityOpt", "ShmSize", "Sysctls", "Tmpfs", "Ulimits", "UTSMode", "Binds", "Mounts",
    "ReadonlyPaths", "Privileged", "AutoRemove", "VolumesFrom", "VolumeDriver", "UsernsMode", "Links",
    "ConsoleSize", "Isolation", "Cgroup", "CgroupParent", "ContainerIDFile", "DeviceRequests", "BlkioWeightDevice",
)
OPTIONS_OF_A_CONFIG = (
    "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty", "OpenStdin",
    "StdinOnce", "Env", "Cmd", "Healthcheck", "Image", "Volumes", "WorkingDir", "Entrypoint", "OnBuild", "StopSignal",
    "StopTimeout", "Labels",
)
EVERY_OPTION = "\n".join(
    f"{part}.{field} {{{{json .{part}.{field}}}}}"
    for part, fields in (("HostConfig", OPTIONS_OF_A_HOST), ("Config", OPTIONS_OF_A_CONFIG)) for field in fields
)  # fmt: skip
RUN = f"run --rm {LABEL} --network none"

OPTIONS = [
    Row(f"container create --name NAME-full {LABEL} --network none --add-host a:1.2.3.4 --cap-add NET_ADMIN"
        " --cap-drop MKNOD --cgroupns host --cpu-period 50000 --cpu-quota 25000 --cpu-shares 512 --cpuset-cpus 0"
        " --cpuset-mems 0 --device /dev/null:/dev/nul:rw --device-cgroup-rule 'c 1:3 rwm'"
        " --device-read-bps /dev/null:1mb --device-write-iops /dev/null:10 --dns 9.9.9.9 --dns-option ndots:2"
        " --dns-search example.org --domainname dom --hostname host --env A=b --expose 80 --expose 90-92/udp"
        " --group-add 5 --group-add audio --health-cmd 'true x' --health-interval 5s --health-retries 2"
        " --health-start-period 3s --health-timeout 2s --init --ipc private --log-driver json-file"
        " --log-opt max-size=1m --log-opt max-file=2 --log-opt compress=true --memory 64m --memory-reservation 32m"
        " --memory-swap 96m --memory-swappiness 10 --oom-kill-disable --oom-score-adj 100 --pids-limit 33"
        " --publish 127.0.0.1:18099:80 --publish-all --read-only --restart on-failure:3"
        " --security-opt no-new-privileges --shm-size 16m --stop-signal SIGINT --stop-timeout 7"
        " --sysctl kernel.shmmax=1000 --tmpfs /t:size=1m,mode=700 --ulimit nofile=10:20 --ulimit core=0"
        " --volume NAME-ov:/v:ro --volume /tmp:/host:rslave --mount type=volume,src=NAME-om,dst=/m,volume-nocopy"
        " --mount type=tmpfs,dst=/tm,tmpfs-size=1m --mount type=bind,src=/tmp,dst=/b,readonly --workdir /w"
        " --interactive --tty --attach stdout --entrypoint 'a b' IMAGE c d"),
    Row(f"container inspect -f '{EVERY_OPTION}' NAME-full"),
    Row("container inspect -f '{{.Path}} {{.Args}} {{json .State.Health}} {{json .NetworkSettings.Ports}}' NAME-full"),
    Row("container update --cpu-shares 100 --cpu-period 100000 --cpu-quota 5000 -m 64m --memory-reservation 32m"
        " --memory-swap -1 --pids-limit 9 --restart always NAME-full"),
    Row("container inspect -f '{{.HostConfig.CpuShares}} {{.HostConfig.CpuQuota}} {{.HostConfig.MemorySwap}}"
        " {{.HostConfig.PidsLimit}} {{json .HostConfig.RestartPolicy}}' NAME-full"),
    *(Row(f"container update {flags} NAME-full", status=1)
      for flags in ("-m 1k", "-m 100m --memory-swap 50m", "--cpus 1000", "--cpus 1")),
    Row("container rm -v NAME-full"),
    Row("volume rm NAME-ov NAME-om"),
    Row(f"{RUN} --read-only IMAGE touch /x", status=1),
    Row(f"{RUN} --cap-drop ALL IMAGE grep Cap /proc/self/status"),
    Row(f"{RUN} --group-add 77 -u 5 --shm-size 8m --tmpfs /t:size=1m --ulimit nofile=50 --oom-score-adj 200"
        " --cpuset-cpus 0 IMAGE sh -c 'id -G; df -k /dev/shm /t | tail -n +2; ulimit -n; cat /proc/self/oom_score_adj;"
        " grep Cpus_allowed_list /proc/self/status'"),
    Row(f"run --rm {LABEL} --dns 9.9.9.9 --add-host h:1.2.3.4 --hostname hh --domainname dd IMAGE sh -c"
        " 'cat /etc/resolv.conf; hostname; grep 1.2.3.4 /etc/hosts'"),
    *(Row(f"{RUN} {flags} IMAGE true", status=125)
      for flags in ("--log-opt nope=1", "--log-opt compress=true --log-opt max-file=1", "--health-interval 1us",
                    "--storage-opt size=1g", "--userns nope", "--uts nope", "-v /x:/", "-v a:b:c:d",
                    "--mount type=tmpfs,src=x,dst=/x", "--device /dev/null:/x:q", "--cpu-period 10",
                    "--cpuset-cpus 99", "-m 64m --memory-reservation 128m", "--link NAME-none",
                    "--oom-score-adj 5000")),
    Row(f"run --rm {LABEL} --network bridge --ip 172.17.0.9 IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network host --link NAME-none IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network container:NAME-up -p 1:1 IMAGE true", status=125),
    Row(f"run -d --cidfile cid {LABEL} --rm --network none IMAGE true"),
    Row(f"{RUN} --cidfile cid IMAGE true", status=125, prints="(?i)container ID file found"),
]  # fmt: skip

COPIES = [
    Row("container exec NAME-up sh -c 'cd /tmp/d; chown 7:8 a; chmod 640 a'"),
    Row("container cp -a NAME-up:/tmp/d ./archived"),
    Row("container cp -L NAME-up:/tmp/d/l ./followed"),
    Row("container cp -q NAME-up:/tmp/d/a ./quiet"),
    Row("container cp -a ./archived NAME-up:/tmp/e"),
    Row("container cp ./archived/. NAME-up:/tmp/f"),
    Row("container cp ./archived NAME-up:/tmp/d/"),
    Row("container exec NAME-up sh -c 'cd /tmp; ls -lnR d e f | cut -c1-30'", differs="Docker 20 makes folders anew"),
    *(Row(f"container cp {words}", status=1)
      for words in ("./quiet NAME-up:/tmp/none/", "./quiet NAME-up:/tmp/none/b", "NAME-up:/tmp/d ./quiet",
                    "NAME-up:/tmp/d/a ./none/b", "NAME-up:/x NAME-up:/y", "a b", "- -")),
]  # fmt: skip

LIMITS = [
    Row(f"run --rm {LABEL} --network none -m 1 IMAGE true", status=125, prints="(?i)minimum memory"),
    Row(f"run --rm {LABEL} --network none --cpus 1000 IMAGE true", status=125, prints="(?i)range of CPUs"),
    Row(f"run --rm {LABEL} --network none --cpu-shares -3 IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --pids-limit 50 IMAGE true"),
    Row(f"run --rm {LABEL} --network none --ulimit nofile=64:128 IMAGE sh -c 'ulimit -n'", prints="^64$"),
    Row(f"run --rm {LABEL} --network none --stop-signal FOO IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --restart always IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --restart nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --ipc nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --pid nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network container:NAME-none IMAGE true", status=125, prints="(?i)no such container"),
    Row(f"run --rm {LABEL} --network NAME-none IMAGE true", status=125, prints="(?i)network NAME-none not found"),
    Row(f"run --rm {LABEL} --network none --log-driver nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --cap-add NOPE IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --security-opt nope=1 IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --device /dev/nope IMAGE true", status=127,
        prints="error gathering device information"),
    Row(f"run --rm {LABEL} --network none --volumes-from NAME-none IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none -v relative/path:/x IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none -v /:/x:nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none -v NAME-data:relative IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --mount type=bind,src=/no/such,dst=/x IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --name -bad IMAGE true", status=125, prints="(?i)invalid container name"),
    Row(f"run --rm {LABEL} --network none --workdir relative IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --runtime nope IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --sysctl nope=1 IMAGE true", status=125,
        differs="the words are those of the runtime"),
    Row(f"run --rm {LABEL} --network none --gpus all IMAGE true", status=125),
    Row(f"run --rm {LABEL} --network none --isolation hyperv IMAGE true", status=125),
    Row("run --pull never --rm NAME-none true", status=125, prints="(?i)no such image"),
]

ERRORS = [
    *(
        Row(f"container {verb} NAME-none", status=1, prints="No such container")
        for verb in ("start", "stop", "restart", "kill", "pause", "unpause", "rm", "wait", "port", "update -m 64m",
                     "export", "attach", "inspect")
    ),
    Row("container rename NAME-none NAME-x", status=1, prints="No such container"),
    Row("container rm NAME-up", status=1, prints="(?i)cannot remove"),
    Row("container rm -f NAME-none", prints="No such container"),
    Row("image rm NAME-none", status=1, prints="No such image"),
    Row("image inspect NAME-none", status=1, prints="No such image"),
    Row("image history NAME-none", status=1, prints="No such image"),
    Row("image tag NAME-none x", status=1, prints="No such image"),
    Row("image save NAME-none", status=1, prints="No such image"),
    Row("image rm IMAGE", status=1, prints="(?i)unable to (delete|remove)"),
    Row("image tag IMAGE Upper:x", status=1, prints="(?i)lowercase"),
]  # fmt: skip

VOLUMES = [
    Row("volume create --label tests=NAME --label a=b NAME-vol", prints="^NAME-vol$"),
    Row("volume create NAME-vol", prints="^NAME-vol$"),
    Row("volume create --driver nope NAME-vol2", status=1),
    Row("volume create -o nope=x NAME-vol2", status=1),
    Row("volume create -bad", status=125),
    Row("volume create /bad", status=1),
    Row("volume inspect -f '{{.Name}} {{.Driver}} {{json .Labels}} {{json .Options}} {{.Scope}}' NAME-vol"),
    Row("volume inspect NAME-none", status=1, prints="(?i)no such volume"),
    Row("volume ls --filter name=NAME"),
    Row("volume ls -q --filter label=a=b --filter name=NAME"),
    Row("volume ls -q --filter dangling=true --filter name=NAME"),
    Row("volume ls -q --filter dangling=false --filter name=NAME"),
    Row("volume ls -q --filter driver=local --filter name=NAME"),
    Row("volume ls --filter nope=x", status=1, prints="(?i)invalid filter"),
    Row(f"volume ls --filter name=NAME-vol {FORMAT}", differs="the mount point is ours"),
    Row("volume rm NAME-data", status=1, prints="volume is in use"),
    Row("volume rm NAME-none", status=1, prints="(?i)no such volume"),
    Row("volume rm -f NAME-none"),
    Row("volume prune -f --filter label=tests=NAME-x", prints="Total reclaimed space: 0B"),
    Row("volume prune -af --filter label=tests=NAME", prints="NAME-vol", alone="clients of before 1.42 have no -a"),
    Row("volume create -o type=tmpfs -o device=tmpfs -o o=size=1m --label tests=NAME NAME-tv"),
    Row("volume inspect NAME-tv NAME-none -f '{{json .Options}} {{json .Labels}}'", status=1),
    Row("volume rm NAME-tv NAME-none", status=1),
    Row("volume rm -f NAME-vol"),
    Row("volume prune -f --filter nope=1", status=1),
]

NETWORKS = [
    Row("network create --label tests=NAME --subnet 10.213.7.0/24 --gateway 10.213.7.1 NAME-net",
        prints="^[0-9a-f]{64}"),
    Row("network create NAME-net", status=1, prints="already exists"),
    Row("network create --driver nope NAME-net2", status=1),
    Row("network create --subnet 10.213.7.0/24 NAME-net2", status=1, prints="(?i)overlap"),
    Row("network create --subnet nope NAME-net2", status=1),
    Row("network create bridge", status=1),
    Row("network create --internal"
        " --label tests=NAME --subnet 10.213.8.0/24 -o com.docker.network.bridge.enable_icc=true"
        " NAME-inside"),
    Row("network inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.Ingress}}"
        " {{json .IPAM}} {{json .Labels}} {{json .Options}} {{.EnableIPv6}} {{len .Containers}}' NAME-net"),
    Row("network inspect -f '{{.Internal}} {{json .Options}} {{len .IPAM.Config}}' NAME-inside"),
    Row("network inspect NAME-none", status=1, prints="(?i)not found"),
    Row("network ls --filter name=NAME"),
    Row("network ls --filter name=NAME -q --no-trunc"),
    Row("network ls --filter driver=bridge --filter name=NAME --format '{{.Name}}'"),
    Row("network ls --filter type=builtin --format '{{.Name}} {{.Driver}} {{.Scope}}'"),
    Row("network ls --filter scope=local --filter name=NAME --format '{{.Name}}'"),
    Row("network ls --filter dangling=true --filter label=tests=NAME --format '{{.Name}}'"),
    Row("network ls --filter nope=1", status=1, prints="(?i)invalid filter"),
    Row("network ls --filter type=nope", status=1, prints="invalid filter"),
    Row(f"run -d --name NAME-a {LABEL} --network NAME-net --ip 10.213.7.9"
        f" --network-alias first -p 18080:80/udp {LOOP}"),
    Row("network connect --alias second --ip 10.213.8.7 NAME-inside NAME-a"),
    Row("network connect NAME-inside NAME-a", status=1, prints="already exists"),
    Row("network connect NAME-none NAME-a", status=1, prints="not found"),
    Row("network connect none NAME-a", status=1, prints="in private .none. mode"),
    Row("network connect host NAME-a", status=1, prints="or connected to host network"),
    Row("network disconnect none NAME-a", status=1, prints="is not connected to network none"),
    Row("network connect NAME-inside NAME-none", status=1, prints="No such container"),
    Row("network connect NAME-net NAME-up", status=1),
    Row("container port NAME-a", prints="80/udp -> 0.0.0.0:18080"),
    Row("container port NAME-a 80/udp"),
    Row("container ls --filter name=NAME-a --format '{{.Ports}}'"),
    Row("container ls --filter publish=18080/udp --format '{{.Names}}'"),
    Row("container ls --filter network=NAME-net --format '{{.Names}}'"),
    Row("container inspect -f '{{json .NetworkSettings.Ports}} {{json .HostConfig.PortBindings}}' NAME-a"),
    Row("container inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.IPAddress}} {{$e.IPPrefixLen}}"
        " {{json $e.IPAMConfig}} {{end}}' NAME-a"),
    Row("container inspect -f '{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.Gateway}}' NAME-a"),
    Row("container exec NAME-a sh -c 'ip -4 -o addr show eth0 | cut -d: -f2'"),
    Row("network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}}{{end}}' NAME-net"),
    Row(f"run --rm {LABEL} --network NAME-net IMAGE ping -c 1 -W 2 first", prints="(?s)10.213.7.9.* 0% packet loss",
        differs="times of round trips"),
    Row(f"run --rm {LABEL} --network NAME-net -p 18080:80/udp IMAGE true", status=125,
        prints="(?i)already (allocated|in use)"),
    Row(f"run --rm {LABEL} --network NAME-net --ip 10.213.7.9 IMAGE true", status=125, prints="(?i)in use"),
    Row("network rm NAME-net", status=1, prints="has active endpoints"),
    Row("network disconnect NAME-inside NAME-a"),
    Row("network disconnect NAME-inside NAME-a", status=1, prints="is not connected"),
    Row("network prune -f --filter label=tests=NAME", prints="NAME-inside"),
    Row("network create --attachable --scope local --ip-range 10.213.31.128/25 --subnet 10.213.31.0/24"
        " --aux-address a=10.213.31.130 --gateway 10.213.31.254 --label tests=NAME NAME-net4"),
    Row("network inspect -f '{{json .IPAM}} {{.Attachable}} {{.ConfigOnly}} {{json .ConfigFrom}}' NAME-net4"),
    *(Row(f"network create {flags} NAME-net5", status=1)
      for flags in ("--subnet 10.213.31.0/24 --gateway 10.9.9.9", "--ip-range 10.213.32.0/25", "--ipam-driver nope",
                    "--subnet 10.213.32.0/24 --ip-range 10.9.0.0/25", "--subnet 10.213.32.0/33")),
    Row("network rm NAME-net4 NAME-none", status=1),
    Row("network rm -f NAME-none"),
    Row("network rm bridge", status=1, prints="(?i)pre-?defined"),
    Row("network rm NAME-none", status=1, prints="(?i)not found"),
    Row("container rm -f NAME-a"),
    Row("network rm NAME-net", prints="^NAME-net$"),
]

IMAGES = [
    Row("image tag IMAGE NAME:two"),
    Row("image ls NAME --format '{{.Repository}} {{.Tag}} {{.Digest}}'"),
    Row("image ls --filter reference=NAME:t* --format '{{.Tag}}'"),
    Row("image ls --filter dangling=true --filter reference=NAME --format '{{.Tag}}'"),
    Row("image ls --filter label=nope NAME"),
    Row("image ls --filter before=NAME:committed NAME --format '{{.Tag}}'"),
    Row("image ls --filter since=IMAGE NAME --format '{{.Tag}}'"),
    Row("image ls --filter nope=1", status=1, prints="(?i)invalid filter"),
    Row("image ls -q --no-trunc NAME"),
    Row("image history NAME:committed --format '{{.CreatedBy}}|{{.Comment}}'"),
    Row("image history -q --no-trunc NAME:committed", differs="the configuration's bytes are ours"),
    Row("image save -o saved.tar NAME:two IMAGE"),
    Row("image rm NAME:two", prints="Untagged: NAME:two"),
    Row("image load -q -i saved.tar", prints="Loaded image: NAME:two"),
    Row("image load -i none.tar", status=1),
    Row("image load", status=1, input="no archive"),
    Row("image import -m why -c 'ENV X=y' exported.tar NAME:imported", prints="^sha256:"),
    Row("image inspect -f '{{json .Config.Env}} {{.Comment}}' NAME:imported"),
    Row("image import -c 'FROBNICATE x' exported.tar NAME:bad", status=1),
    Row("image build -q --network none -t NAME:built -",
        input="FROM IMAGE\nLABEL tests=NAME\nRUN echo x >/x\nCMD [\"cat\", \"/x\"]\n",
        prints="^sha256:"),
    Row(f"run --rm {LABEL} --network none NAME:built", prints="^x$"),
    Row("image build --network none -t NAME:bad -", input="FROM IMAGE\nRUN exit 7\n", status=7,
        prints="returned a non-zero code: 7"),
    Row("image build --network none -t NAME:bad -", input="FROM IMAGE\nFROBNICATE\n", status=1,
        prints="(?i)unknown instruction"),
    Row("image build -", input="FROM NAME-none\n", status=1),
    Row("image inspect -f '{{json .Config.Cmd}} {{json .Config.Labels}} {{len .RootFS.Layers}}' NAME:built"),
    Row("image build --network none -m 64m --memory-swap 64m --cpu-shares 10 --shm-size 8m --ulimit nofile=50"
        " --add-host h:1.2.3.4 --build-arg A=b --label l=m --no-cache --target one -t NAME:opts -q -",
        input="FROM IMAGE AS one\nARG A\nRUN ulimit -n >/n; grep 1.2.3.4 /etc/hosts >/h; echo $A >/a\n"
              "FROM one\nRUN false\n"),
    Row(f"run --rm {LABEL} --network none NAME:opts cat /n /h /a"),
    *(Row("image build -q -", input=text, status=1)
      for text in ("", "RUN x\n", "FROM IMAGE\nCOPY none /\n")),
    Row("image rm NAME:opts NAME:none", status=1, differs="Docker names the images of the steps, too"),
    Row("image pull NAME-none", status=1, differs="no registry is in reach"),
    Row("image push localhost:1/NAME-none", status=1, prints="(?i)does not exist",
        differs="Docker prints the repository first"),
    Row("image prune -f --filter label=tests=NAME-x", prints="Total reclaimed space: 0B"),
    Row("image prune -f --filter nope=1", status=1),
    Row("search NAME", status=1, differs="no registry is in reach"),
    Row("login -u a -p b localhost:1", status=1, differs="no registry is in reach"),
    Row("logout localhost:1"),
]

SYSTEM = [
    Row("system df --format '{{.Type}}'"),
    Row("system df -v", differs="what others have is shown too"),
    Row("system info --format '{{.DefaultRuntime}}'", differs="the runtime is ours"),
    Row("system events --since 1h --until 0s --filter volume=NAME-vol --format '{{.Action}} {{.Actor.Attributes}}'",
        differs="our own attributes are there too"),
    Row("system events --since 1h --until 0s --filter network=NAME-inside --format '{{.Action}}"
        " {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}'",
        prints="connect NAME-inside bridge\ndisconnect NAME-inside",
        differs="Docker tells of a disconnect that failed, too"),
    Row("system events --since 1h --until 0s --filter image=NAME --filter type=image --format '{{.Action}}"
        " {{.Actor.Attributes.name}}'", prints="tag NAME:committed\n", differs="a loaded name is an event of ours"),
    Row("system events --filter nope=1", status=1, prints="(?i)invalid filter",
        alone="Docker knows no wrong filter here"),
    Row("system events --since nope --until 0s", status=1),
    Row("system prune --volumes --filter until=1h -f", status=1),
    Row("inspect -f '{{.Nope}}' IMAGE", status=1),
    Row("inspect --type nope IMAGE", status=1),
    Row("builder prune -f", alone=SHARED, prints="Total"),
    Row("plugin ls"),
    Row("plugin install NAME", status=1, differs="plugins are refused", input="y\n"),
    Row("checkpoint ls NAME-up", status=1, differs="checkpoints are experimental there"),
]

SWARM = [
    *(
        Row(line, status=1, prints="This node is not a swarm manager")
        for line in ("node ls", "service ls", "stack ls", "secret ls", "config ls", "swarm join-token worker",
                     "swarm update --autolock", "node inspect x", "service inspect x", "service create NAME",
                     "swarm unlock-key")
    ),
    Row("secret create NAME -", status=1, input="x", prints="This node is not a swarm manager"),
    Row("swarm leave", status=1, prints="(?i)not part of a swarm"),
    Row("swarm init", status=1, alone="it would make a swarm there"),
    Row("swarm join --token x localhost:1", status=1, alone="it would try to join one there"),
]  # fmt: skip

ENDS = [
    Row("container stop NAME-up", prints="^NAME-up$"),
    Row("container inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.RestartCount}}' NAME-up"),
    Row("container rm -v NAME-new", prints="^NAME-new$"),
    Row(f"container prune -f {ONLY}", prints="Deleted Containers:"),
    Row("container prune -f --filter nope=1", status=1),
    Row(f"system prune -af {ONLY}", alone=SHARED, prints="Total reclaimed space"),
    Row("volume rm NAME-data"),
    Row("image rm -f IMAGE NAME:committed NAME:built NAME:imported NAME:two", alone="the peer is tidied up by name"),
    Row(f"container ls -aq {ONLY}"),
]
