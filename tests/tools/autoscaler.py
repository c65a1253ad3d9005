"""KEDA and Kubernetes' autoscaler, played by a clock of a test's own: how many pods there are when.

What they do is that of KEDA 2.21 for `metrics-api` (a look each pollingInterval starts the first pod, and
ends the last one after cooldownPeriod; in between the autoscaler divides the number by targetValue) and
of Kubernetes' autoscaling/v2: a look each 15 s, a tolerance of a tenth, up by 100 % or four pods at a
time, down as the manifest says. Their pages say so: keda.sh, "Scaling Deployments", and kubernetes.io,
"Horizontal Pod Autoscaling".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

#: How often Kubernetes' autoscaler looks, and by how much the pods may be off before it acts.
SYNC_SECONDS, TOLERANCE = 15, 0.1


class Autoscaler:
    """One ScaledObject with one trigger, as it decides second by second.

    Args:
        spec: The spec of the ScaledObject.
        wanted: What its trigger asks.
    """

    def __init__(self, spec: Mapping[str, Any], wanted: Callable[[], int]) -> None:
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        (self._down,), self._steady_seconds = down["policies"], down["stabilizationWindowSeconds"]
        (trigger,) = spec["triggers"]
        self._target = int(trigger["metadata"]["targetValue"])
        self._spec, self._wanted = spec, wanted
        self._active_at = 0
        self._asked: deque[tuple[int, int]] = deque()
        self._ended: deque[int] = deque()
        self.pods = int(spec["minReplicaCount"])

    def look(self, second: int) -> int:
        """The pods that there are to be from this second on."""
        if second % self._spec["pollingInterval"] == 0:
            self._wake_or_end(second)
        if second % SYNC_SECONDS == 0 and self.pods:
            self._follow(second)
        return self.pods

    def _wake_or_end(self, second: int) -> None:
        """What KEDA does itself: from no pod to one, and back."""
        if self._wanted() > 0:
            self._active_at, self.pods = second, max(self.pods, 1)
        elif second - self._active_at >= self._spec["cooldownPeriod"]:
            self.pods = int(self._spec["minReplicaCount"])
            self._asked.clear()

    def _follow(self, second: int) -> None:
        """What Kubernetes' autoscaler does: between one pod and the most."""
        wanted, asked = self._wanted(), self.pods
        if abs(1 - wanted / (self._target * self.pods)) > TOLERANCE:
            asked = math.ceil(wanted / self._target)
        asked = min(max(asked, 1), int(self._spec["maxReplicaCount"]))
        self._asked.append((second, asked))
        while self._asked[0][0] <= second - self._steady_seconds:
            self._asked.popleft()
        if asked > self.pods:
            self.pods = min(asked, max(2 * self.pods, self.pods + 4))
        else:
            self._shrink(second, max(each for _, each in self._asked))

    def _shrink(self, second: int, steady: int) -> None:
        """Take pods away, no more in each period than the policy says."""
        while self._ended and self._ended[0] <= second - self._down["periodSeconds"]:
            self._ended.popleft()
        for _ in range(min(self.pods - steady, self._down["value"] - len(self._ended))):
            self.pods -= 1
            self._ended.append(second)
