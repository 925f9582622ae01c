"""Drives a swarm with docker-py: what it is given is whole and in docker-py's words.

Asks the daemon at DOCKER_HOST; the node is a manager. Leaves nothing behind.
"""

import time

import docker
from docker import types
from docker.errors import APIError, NotFound

client = docker.from_env(version="auto")


def soon(what, probe):
    for _ in range(200):
        found = probe()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"not in time: {what}")


def swarm_and_nodes():
    assert client.swarm.attrs["Spec"]["Name"] == "default"
    assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
    client.swarm.update(task_history_retention_limit=4)
    client.swarm.reload()
    assert client.swarm.attrs["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"] == 4
    nodes = client.nodes.list()
    node = next(it for it in nodes if "ManagerStatus" in it.attrs)
    spec = dict(node.attrs["Spec"], Labels={"by": "docker-py"})
    node.update(spec)
    assert client.nodes.get(node.id).attrs["Spec"]["Labels"] == {"by": "docker-py"}
    assert client.nodes.list(filters={"role": "worker", "id": node.id}) == []
    assert client.info()["Swarm"]["ControlAvailable"] is True


def files():
    secret = client.secrets.create(name="py-secret", data=b"hidden", labels={"a": "b"})
    config = client.configs.create(name="py-config", data=b"shown", labels={"a": "b"})
    assert "Data" not in client.secrets.get(secret.id).attrs["Spec"]
    assert client.configs.get(config.id).attrs["Spec"]["Data"] == "c2hvd24="
    assert [it.id for it in client.secrets.list(filters={"name": "py-secret"})] == [secret.id]
    try:
        client.secrets.create(name="py-secret", data=b"other")
        raise SystemExit("a name was given twice")
    except APIError as error:
        assert error.response.status_code == 409, error
    return secret, config


def service(network, secret, config):
    made = client.services.create(
        "busybox:latest",
        command=["sh", "-c", "cat /run/secrets/py-secret /py-config; echo; exec sleep 100000"],
        name="py",
        labels={"tier": "x"},
        networks=[network.name],
        secrets=[types.SecretReference(secret.id, "py-secret")],
        configs=[types.ConfigReference(config.id, "py-config")],
        mode=types.ServiceMode("replicated", replicas=2),
        stop_grace_period=1_000_000_000,
        endpoint_spec=types.EndpointSpec(ports={8099: (80, "tcp")}),
        healthcheck=types.Healthcheck(test=["NONE"]),
        update_config=types.UpdateConfig(parallelism=2, order="start-first"),
    )

    def running():
        tasks = made.tasks(filters={"desired-state": "running"})
        return [it for it in tasks if it["Status"]["State"] == "running"]

    soon("two tasks to run", lambda: len(running()) == 2)
    logs = lambda: b"".join(made.logs(stdout=True, stderr=True))
    soon("both to say what they have", lambda: logs().count(b"hiddenshown") == 2)
    attached = running()[0]["NetworksAttachments"]
    assert any(it["Network"]["Spec"]["Name"] == network.name for it in attached), attached
    assert [it.name for it in client.services.list(filters={"label": "tier=x"})] == ["py"]

    made.reload()
    made.scale(3)
    soon("a third", lambda: len(running()) == 3)
    made.reload()
    made.update(env=["A=1"], fetch_current_spec=True)

    def updated():
        made.reload()
        return made.attrs.get("UpdateStatus", {}).get("State") == "completed"

    soon("the update to be done", updated)
    for task in running():
        assert task["Spec"]["ContainerSpec"]["Env"] == ["A=1"], task
    assert made.force_update()["Warnings"] is None
    made.reload()
    old = made.version - 1
    try:
        client.api.update_service(made.id, old, name="py", fetch_current_spec=True)
        raise SystemExit("an old version was taken")
    except APIError as error:
        assert "update out of sequence" in str(error), error
    return made


def main():
    swarm_and_nodes()
    network = client.networks.create("py-net", driver="overlay", attachable=True)
    assert client.networks.get("py-net").attrs["Scope"] == "swarm"
    secret, config = files()
    made = service(network, secret, config)
    made.remove()
    try:
        client.services.get("py")
        raise SystemExit("it is still there")
    except NotFound:
        pass

    def gone():
        try:
            network.remove()
            return True
        except APIError:
            return False

    soon("the network to be free", gone)
    secret.remove()
    config.remove()
    left = client.services.list() + client.secrets.list() + client.configs.list()
    assert left == [], left
    print("docker-py", docker.__version__, "is content")


main()
