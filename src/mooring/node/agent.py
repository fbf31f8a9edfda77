"""The node agent: what concerns one host's volumes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.model.attributes_class import AttributesClass
from mooring.model.backup import VolumeArchive, VolumeBackup
from mooring.model.claim import Claim
from mooring.model.pool import Pool
from mooring.model.storage_class import StorageClass
from mooring.model.volume import Volume
from mooring.node.archives import ArchiveFiller
from mooring.node.arrivals import Arrivals
from mooring.node.attachments import Attachments
from mooring.node.backing import Backing
from mooring.node.copies import Copies
from mooring.node.fence import USUAL, Fence, Times
from mooring.node.filling import Filler, Filling
from mooring.node.health import Health
from mooring.node.heartbeat import Heartbeat
from mooring.node.ids import Ids
from mooring.node.intents import Intents
from mooring.node.kept_replicas import KeptReplicas
from mooring.node.modifying import Modifier
from mooring.node.mounting import Mounting
from mooring.node.moving import Mover
from mooring.node.origins import Origins
from mooring.node.peers import Peers
from mooring.node.pools import Pools
from mooring.node.provisioning import Provisioner
from mooring.node.published import Publisher
from mooring.node.registrar import Registrar
from mooring.node.replica_sending import ReplicaSender
from mooring.node.replicating import Replicator
from mooring.node.resizing import Resizer
from mooring.node.sending import Sender
from mooring.node.snapshotting import Snapshotter
from mooring.node.usage import Usages
from mooring.node.use import Docker, Users
from mooring.node.waiting import Failures, Waiting
from mooring.node.watch import Watch
from mooring.objects.cache import Entry, Event
from mooring.objects.objects import Objects
from mooring.objects.views import view
from mooring.reconcile.queue import Queue
from mooring.reconcile.resync import Resync
from mooring.rules.events import EventNote
from mooring.rules.modifying import is_modifying
from mooring.rules.pool_room import has_news
from mooring.rules.resizing import is_growing, is_unfinished


class Agent:
    """Provisions and deletes the assets of this host's pools."""

    def __init__(
        self,
        objects: Objects,
        node: str,
        state_dir: Path,
        tell: Callable[[EventNote], None],
        docker: Docker | None = None,
        import_dirs: Sequence[Path] = (),
        backup_dirs: Sequence[Path] = (),
        times: Times = USUAL,
        peers: Peers | None = None,
    ) -> None:
        """peers: agents of other hosts; None: none is called, nor answered"""
        self._peers = peers
        self._objects, self._node = objects, node
        self._pools = pools = Pools(objects, node, state_dir, tell)
        self.publisher = Publisher(state_dir)
        failures = Failures()
        self.waiting = Waiting(objects, failures)
        self.resizer = Resizer(objects, pools, node, self._is_mounted)
        self.growth = self.resizer.queue
        self.modifier = Modifier(objects, pools)
        self.mounting = Mounting(
            objects,
            pools,
            self.publisher,
            self.waiting,
            node,
            hurry=self._make_now,
            growth=self.resizer,
        )
        attachments = Attachments(objects, node, tell)
        watch = Watch(state_dir)
        self.fence = Fence(objects, self.publisher, attachments, node, watch, tell, times)
        ids = Ids(state_dir, objects.clock)
        self.users = Users(
            *(objects, self.mounting, self.publisher, ids, attachments),
            *(node, docker, tell, self.fence),
        )
        self.heartbeat = Heartbeat(objects, node, self.fence)
        self.registrar = Registrar(objects, pools, node)
        self._intents = Intents(state_dir)
        self.backing = Backing(
            *(objects, pools, self.users, node, state_dir, tell),
            *(self._claims_hurry, backup_dirs),
        )
        self.filling = self._fills(import_dirs, tell)
        self._origins = Origins(objects, self._make_now)
        self._provisioner = Provisioner(
            *(objects, pools, self._intents, node, self.users.release, failures),
            *(self.filling, self.modifier, self._origins),
        )
        self.health = Health(objects, pools, self._intents, self._pool_hurries)
        self.usages = Usages(objects, self.mounting, self.publisher)
        self.snapshots = Snapshotter(objects, pools, Intents(state_dir, "snapshotting"))
        self.claims = Queue("provision", self._provisioner.provision)
        self._provisioner.again = self.claims.add
        self.volumes = Queue("delete", self._provisioner.delete)
        self._resyncs = self._looks_now_and_then()
        self._unfollow: list[Callable[[], None]] = []
        self.copies = None if peers is None else self._moves(peers, attachments, state_dir, tell)

    def _fills(self, import_dirs: Sequence[Path], tell: Callable[[EventNote], None]) -> Filling:
        """New volumes that are to have something in them."""
        fillers: dict[str, Filler] = {
            VolumeArchive.kind_name: ArchiveFiller(self._objects, self._node, import_dirs),
            VolumeBackup.kind_name: self.backing.filler,
        }
        return Filling(self._objects, self._intents, fillers, tell)

    def _moves(
        self,
        peers: Peers,
        attachments: Attachments,
        state_dir: Path,
        tell: Callable[[EventNote], None],
    ) -> Copies:
        """Volumes that come here from other hosts, and go there."""
        common = (self._objects, self._pools, attachments, peers, self._node)
        Sender(*common, self.users.users)
        mover = Mover(*common, state_dir, tell)
        kept = KeptReplicas(self._pools)
        ReplicaSender(*common, kept, self.users.users)
        self._replicator = replicator = Replicator(*common, kept, tell)
        copies = Copies(self._objects, mover, replicator, self._node)

        def ended(volume: Volume, came: bool) -> None:
            self.users.queue.add(volume.uid)  # who waited for it has it, or nobody wants it
            copies.ended(volume, came)

        mover.ended = ended
        arrivals = Arrivals(mover, replicator)
        self.users.moves, self.mounting.may_come = arrivals, arrivals.may_come
        return copies

    def _looks_now_and_then(self) -> tuple[Resync, Resync]:
        claims, volumes = (self._objects.cache.shelves[one.resource] for one in (Claim, Volume))
        return Resync(claims, self._look_at_claim), Resync(volumes, self._look_at_volume)

    async def start(self) -> None:
        """Take over the mounts of an earlier process, and what it had begun to make.

        Then look at everything once, and follow. The node is Ready when this returns.
        """
        await self.users.start()
        for intent in await self._intents.start():
            self.claims.add(intent.claim)
        self._follow(Claim.resource, self._look_at_claim)
        self._follow(Volume.resource, self._look_at_volume)
        shelves = self._objects.cache.shelves
        self._unfollow.append(shelves[Volume.resource].follow(self._forget_if_gone))
        classes = shelves[AttributesClass.resource]
        self._unfollow.append(classes.follow(self.modifier.class_changed))
        self._unfollow.append(classes.follow(self._all_claims_again))
        self._unfollow.append(shelves[Pool.resource].follow(self._pool_changed))
        self._unfollow.append(shelves[StorageClass.resource].follow(self._class_changed))
        self._unfollow.append(shelves[VolumeArchive.resource].follow(self._all_claims_again))
        queues = (self.claims, self.volumes, self.growth, self.modifier.queue)
        for part in (self._origins, *queues, *self._resyncs):
            part.start()
        await self.snapshots.start()
        await self.backing.start()
        self.health.start()
        self.usages.start()
        await self.heartbeat.start()
        await self.registrar.start()
        if self._peers is not None and self.copies is not None:
            await self._peers.start()
            self.copies.start()
            self._replicator.start()

    def _make_now(self, claim: str) -> None:
        self._provisioner.retry(claim)
        self.claims.add(claim)

    def _is_mounted(self, volume: Volume) -> bool:
        return self.publisher.published_path(volume.uid) is not None

    def _look_at_claim(self, entry: Entry) -> None:
        claim = view(Claim, entry)
        if claim.provisioner:  # the others are no agent's to fill
            self.claims.add(entry.key)
        if is_growing(claim):
            self.growth.add(claim.volume_name)
        if is_modifying(claim):
            self.modifier.queue.add(claim.volume_name)

    def _look_at_volume(self, entry: Entry) -> None:
        volume = view(Volume, entry)
        if volume.spec.csi is not None:  # the others are no agent's
            self.volumes.add(entry.key)
            if is_unfinished(volume):
                self.growth.add(entry.key)

    def _follow(self, resource: str, look: Callable[[Entry], None]) -> None:
        """Look at all that are there, then at each that changes."""
        shelf = self._objects.cache.shelves[resource]
        for entry in shelf.entries():
            look(entry)

        def changed(event: Event) -> None:
            entry = event.after or event.before
            assert entry is not None
            look(entry)

        self._unfollow.append(shelf.follow(changed))

    def _forget_if_gone(self, event: Event) -> None:
        """A volume that an administrator deletes while it is mounted leaves its path behind."""
        if event.after is None and event.before is not None:
            self.users.forget(view(Volume, event.before).uid)

    def _pool_changed(self, event: Event) -> None:
        if event.after is None and event.before is not None:
            self._pools.forget(view(Pool, event.before).uid)
        before, after = (
            view(Pool, one) if one is not None else None for one in (event.before, event.after)
        )
        if has_news(before, after):
            self._pool_hurries(event.key)

    def _all_claims_again(self, event: Event) -> None:
        """Claims that failed for a class that is another now may go on at once."""
        self._claims_hurry()

    def _class_changed(self, event: Event) -> None:
        self._claims_hurry()
        if event.before is None:
            self._provisioner.class_came(event.key)

    def _pool_hurries(self, pool: str) -> None:
        """What failed for a pool that is another now, or has got room, may go on at once."""
        self._provisioner.hurry(pool)
        self.resizer.hurry(pool)
        self.snapshots.hurry()

    def _claims_hurry(self) -> None:
        self._provisioner.hurry()
        self.claims.hurry()
        self.snapshots.hurry()

    async def stop(self) -> None:
        for unfollow in self._unfollow:
            unfollow()
        if self._peers is not None and self.copies is not None:
            await self._replicator.stop()
            await self.copies.stop()
            await self._peers.stop()
        self.mounting.stop()
        await self.registrar.stop()
        self._origins.stop()
        queues = (self.claims, self.volumes, self.resizer, self.modifier, self.snapshots)
        for part in (self.heartbeat, self.health, *self._resyncs, *queues, self.users):
            await part.stop()
        await self.backing.stop()
        await self.filling.close()
        self.fence.stop()
