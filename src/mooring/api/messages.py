"""Which field of a Kubernetes protobuf message is which field of its JSON, as a table.

A message starts a line, its fields follow, `number:name:type`. Types: none is a string, `int`,
`bool`, `bytes` (base64 in JSON), `raw` (bytes as they are), `json` (bytes that are JSON), or a
message. `[T]` is a list, `{T}` a map from strings. `!` after a name: JSON shows its zero too (in
Go: a pointer, or no omitempty). `+` before a name: the message's fields are the parent's in JSON.

Fields that are not here are skipped, as Kubernetes skips what it does not know: nothing that
Kubernetes 1.32 has, of later versions what they added outside storage.k8s.io (as in a Pod:
hostnameOverride, restartPolicyRules, stopSignal).
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Final, NamedTuple

# The frame of every body, and messages that are something else than an object in JSON.
_FRAME: Final = """
Unknown  1:typeMeta:TypeMeta 2:raw:raw 3:contentEncoding 4:contentType
TypeMeta  1:apiVersion 2:kind
Time  1:seconds!:int 2:nanos:int
MicroTime  1:seconds!:int 2:nanos:int
Quantity  1:string
IntOrString  1:type:int 2:intVal:int 3:strVal
FieldsV1  1:Raw:json
ExtraValue  1:items:[str]
"""

_METADATA: Final = """
ObjectMeta  1:name 2:generateName 3:namespace 4:selfLink 5:uid 6:resourceVersion 7:generation:int
  8:creationTimestamp:Time 9:deletionTimestamp:Time 10:deletionGracePeriodSeconds!:int
  11:labels:{str} 12:annotations:{str} 13:ownerReferences:[OwnerReference] 14:finalizers:[str]
  17:managedFields:[ManagedFieldsEntry]
OwnerReference  1:kind! 3:name! 4:uid! 5:apiVersion! 6:controller!:bool 7:blockOwnerDeletion!:bool
ManagedFieldsEntry  1:manager 2:operation 3:apiVersion 4:time:Time 6:fieldsType
  7:fieldsV1:FieldsV1 8:subresource
LabelSelector  1:matchLabels:{str} 2:matchExpressions:[LabelSelectorRequirement]
LabelSelectorRequirement  1:key! 2:operator! 3:values:[str]
DeleteOptions  1:gracePeriodSeconds!:int 2:preconditions:Preconditions 3:orphanDependents!:bool
  4:propagationPolicy! 5:dryRun:[str] 6:ignoreStoreReadErrorWithClusterBreakingPotential!:bool
Preconditions  1:uid! 2:resourceVersion!
"""

_CORE: Final = """
Namespace  1:metadata:ObjectMeta 2:spec:NamespaceSpec 3:status:NamespaceStatus
NamespaceSpec  1:finalizers:[str]
NamespaceStatus  1:phase 2:conditions:[NamespaceCondition]
NamespaceCondition  1:type! 2:status! 4:lastTransitionTime:Time 5:reason 6:message
ConfigMap  1:metadata:ObjectMeta 2:data:{str} 3:binaryData:{bytes} 4:immutable!:bool
Secret  1:metadata:ObjectMeta 2:data:{bytes} 3:type 4:stringData:{str} 5:immutable!:bool
Event  1:metadata:ObjectMeta 2:involvedObject:ObjectReference 3:reason 4:message
  5:source:EventSource 6:firstTimestamp:Time 7:lastTimestamp:Time 8:count:int 9:type
  10:eventTime:MicroTime 11:series:EventSeries 12:action 13:related:ObjectReference
  14:reportingComponent! 15:reportingInstance!
ObjectReference  1:kind 2:namespace 3:name 4:uid 5:apiVersion 6:resourceVersion 7:fieldPath
EventSource  1:component 2:host
EventSeries  1:count:int 2:lastObservedTime:MicroTime
Node  1:metadata:ObjectMeta 2:spec:NodeSpec 3:status:NodeStatus
NodeSpec  1:podCIDR 2:externalID 3:providerID 4:unschedulable:bool 5:taints:[Taint]
  6:configSource:NodeConfigSource 7:podCIDRs:[str]
Taint  1:key! 2:value 3:effect! 4:timeAdded:Time
NodeConfigSource  2:configMap:ConfigMapNodeConfigSource
ConfigMapNodeConfigSource  1:namespace! 2:name! 3:uid 4:resourceVersion 5:kubeletConfigKey!
NodeStatus  1:capacity:{Quantity} 2:allocatable:{Quantity} 3:phase 4:conditions:[NodeCondition]
  5:addresses:[NodeAddress] 6:daemonEndpoints:NodeDaemonEndpoints 7:nodeInfo:NodeSystemInfo
  8:images:[ContainerImage] 9:volumesInUse:[str] 10:volumesAttached:[AttachedVolume]
  11:config:NodeConfigStatus 12:runtimeHandlers:[NodeRuntimeHandler] 13:features:NodeFeatures
NodeCondition  1:type! 2:status! 3:lastHeartbeatTime:Time 4:lastTransitionTime:Time 5:reason
  6:message
NodeAddress  1:type! 2:address!
NodeDaemonEndpoints  1:kubeletEndpoint:DaemonEndpoint
DaemonEndpoint  1:Port!:int
NodeSystemInfo  1:machineID! 2:systemUUID! 3:bootID! 4:kernelVersion! 5:osImage!
  6:containerRuntimeVersion! 7:kubeletVersion! 8:kubeProxyVersion! 9:operatingSystem!
  10:architecture!
ContainerImage  1:names:[str] 2:sizeBytes:int
AttachedVolume  1:name! 2:devicePath!
NodeConfigStatus  1:assigned:NodeConfigSource 2:active:NodeConfigSource
  3:lastKnownGood:NodeConfigSource 4:error
NodeRuntimeHandler  1:name! 2:features:NodeRuntimeHandlerFeatures
NodeRuntimeHandlerFeatures  1:recursiveReadOnlyMounts!:bool 2:userNamespaces!:bool
NodeFeatures  1:supplementalGroupsPolicy!:bool
Lease  1:metadata:ObjectMeta 2:spec:LeaseSpec
LeaseSpec  1:holderIdentity! 2:leaseDurationSeconds!:int 3:acquireTime:MicroTime
  4:renewTime:MicroTime 5:leaseTransitions!:int 6:strategy! 7:preferredHolder!
events.Event  1:metadata:ObjectMeta 2:eventTime:MicroTime 3:series:events.EventSeries
  4:reportingController 5:reportingInstance 6:action 7:reason 8:regarding:ObjectReference
  9:related:ObjectReference 10:note 11:type 12:deprecatedSource:EventSource
  13:deprecatedFirstTimestamp:Time 14:deprecatedLastTimestamp:Time 15:deprecatedCount:int
events.EventSeries  1:count!:int 2:lastObservedTime:MicroTime
ResourceQuota  1:metadata:ObjectMeta 2:spec:ResourceQuotaSpec 3:status:ResourceQuotaStatus
ResourceQuotaSpec  1:hard:{Quantity} 2:scopes:[str] 3:scopeSelector:ScopeSelector
ResourceQuotaStatus  1:hard:{Quantity} 2:used:{Quantity}
ScopeSelector  1:matchExpressions:[ScopedResourceSelectorRequirement]
ScopedResourceSelectorRequirement  1:scopeName! 2:operator! 3:values:[str]
LimitRange  1:metadata:ObjectMeta 2:spec:LimitRangeSpec
LimitRangeSpec  1:limits!:[LimitRangeItem]
LimitRangeItem  1:type! 2:max:{Quantity} 3:min:{Quantity} 4:default:{Quantity}
  5:defaultRequest:{Quantity} 6:maxLimitRequestRatio:{Quantity}
"""

_STORAGE: Final = """
PersistentVolume  1:metadata:ObjectMeta 2:spec:PersistentVolumeSpec
  3:status:PersistentVolumeStatus
PersistentVolumeSpec  1:capacity:{Quantity} 2:+persistentVolumeSource:PersistentVolumeSource
  3:accessModes:[str] 4:claimRef:ObjectReference 5:persistentVolumeReclaimPolicy
  6:storageClassName 7:mountOptions:[str] 8:volumeMode! 9:nodeAffinity:VolumeNodeAffinity
  10:volumeAttributesClassName!
PersistentVolumeSource  1:gcePersistentDisk:GCEPersistentDiskVolumeSource
  2:awsElasticBlockStore:AWSElasticBlockStoreVolumeSource 3:hostPath:HostPathVolumeSource
  4:glusterfs:GlusterfsPersistentVolumeSource 5:nfs:NFSVolumeSource
  6:rbd:RBDPersistentVolumeSource 7:iscsi:ISCSIPersistentVolumeSource
  8:cinder:CinderPersistentVolumeSource 9:cephfs:CephFSPersistentVolumeSource 10:fc:FCVolumeSource
  11:flocker:FlockerVolumeSource 12:flexVolume:FlexPersistentVolumeSource
  13:azureFile:AzureFilePersistentVolumeSource 14:vsphereVolume:VsphereVirtualDiskVolumeSource
  15:quobyte:QuobyteVolumeSource 16:azureDisk:AzureDiskVolumeSource
  17:photonPersistentDisk:PhotonPersistentDiskVolumeSource 18:portworxVolume:PortworxVolumeSource
  19:scaleIO:ScaleIOPersistentVolumeSource 20:local:LocalVolumeSource
  21:storageos:StorageOSPersistentVolumeSource 22:csi:CSIPersistentVolumeSource
GCEPersistentDiskVolumeSource  1:pdName! 2:fsType 3:partition:int 4:readOnly:bool
AWSElasticBlockStoreVolumeSource  1:volumeID! 2:fsType 3:partition:int 4:readOnly:bool
HostPathVolumeSource  1:path! 2:type!
GlusterfsPersistentVolumeSource  1:endpoints! 2:path! 3:readOnly:bool 4:endpointsNamespace!
NFSVolumeSource  1:server! 2:path! 3:readOnly:bool
RBDPersistentVolumeSource  1:monitors:[str] 2:image! 3:fsType 4:pool 5:user 6:keyring
  7:secretRef:SecretReference 8:readOnly:bool
SecretReference  1:name 2:namespace
ISCSIPersistentVolumeSource  1:targetPortal! 2:iqn! 3:lun!:int 4:iscsiInterface 5:fsType
  6:readOnly:bool 7:portals:[str] 8:chapAuthDiscovery:bool 10:secretRef:SecretReference
  11:chapAuthSession:bool 12:initiatorName!
CinderPersistentVolumeSource  1:volumeID! 2:fsType 3:readOnly:bool 4:secretRef:SecretReference
CephFSPersistentVolumeSource  1:monitors:[str] 2:path 3:user 4:secretFile
  5:secretRef:SecretReference 6:readOnly:bool
FCVolumeSource  1:targetWWNs:[str] 2:lun!:int 3:fsType 4:readOnly:bool 5:wwids:[str]
FlockerVolumeSource  1:datasetName 2:datasetUUID
FlexPersistentVolumeSource  1:driver! 2:fsType 3:secretRef:SecretReference 4:readOnly:bool
  5:options:{str}
AzureFilePersistentVolumeSource  1:secretName! 2:shareName! 3:readOnly:bool 4:secretNamespace!
VsphereVirtualDiskVolumeSource  1:volumePath! 2:fsType 3:storagePolicyName 4:storagePolicyID
QuobyteVolumeSource  1:registry! 2:volume! 3:readOnly:bool 4:user 5:group 6:tenant
AzureDiskVolumeSource  1:diskName! 2:diskURI! 3:cachingMode! 4:fsType! 5:readOnly!:bool 6:kind!
PhotonPersistentDiskVolumeSource  1:pdID! 2:fsType
PortworxVolumeSource  1:volumeID! 2:fsType 3:readOnly:bool
ScaleIOPersistentVolumeSource  1:gateway! 2:system! 3:secretRef:SecretReference 4:sslEnabled:bool
  5:protectionDomain 6:storagePool 7:storageMode 8:volumeName 9:fsType 10:readOnly:bool
LocalVolumeSource  1:path! 2:fsType!
StorageOSPersistentVolumeSource  1:volumeName 2:volumeNamespace 3:fsType 4:readOnly:bool
  5:secretRef:ObjectReference
CSIPersistentVolumeSource  1:driver! 2:volumeHandle! 3:readOnly:bool 4:fsType
  5:volumeAttributes:{str} 6:controllerPublishSecretRef:SecretReference
  7:nodeStageSecretRef:SecretReference 8:nodePublishSecretRef:SecretReference
  9:controllerExpandSecretRef:SecretReference 10:nodeExpandSecretRef:SecretReference
VolumeNodeAffinity  1:required:NodeSelector
NodeSelector  1:nodeSelectorTerms:[NodeSelectorTerm]
NodeSelectorTerm  1:matchExpressions:[NodeSelectorRequirement]
  2:matchFields:[NodeSelectorRequirement]
NodeSelectorRequirement  1:key! 2:operator! 3:values:[str]
PersistentVolumeStatus  1:phase 2:message 3:reason 4:lastPhaseTransitionTime:Time
PersistentVolumeClaim  1:metadata:ObjectMeta 2:spec:PersistentVolumeClaimSpec
  3:status:PersistentVolumeClaimStatus
PersistentVolumeClaimSpec  1:accessModes:[str] 2:resources:VolumeResourceRequirements 3:volumeName
  4:selector:LabelSelector 5:storageClassName! 6:volumeMode!
  7:dataSource:TypedLocalObjectReference 8:dataSourceRef:TypedObjectReference
  9:volumeAttributesClassName!
VolumeResourceRequirements  1:limits:{Quantity} 2:requests:{Quantity}
TypedLocalObjectReference  1:apiGroup! 2:kind! 3:name!
TypedObjectReference  1:apiGroup! 2:kind! 3:name! 4:namespace!
PersistentVolumeClaimStatus  1:phase 2:accessModes:[str] 3:capacity:{Quantity}
  4:conditions:[PersistentVolumeClaimCondition] 5:allocatedResources:{Quantity}
  7:allocatedResourceStatuses:{str} 8:currentVolumeAttributesClassName!
  9:modifyVolumeStatus:ModifyVolumeStatus
PersistentVolumeClaimCondition  1:type! 2:status! 3:lastProbeTime:Time 4:lastTransitionTime:Time
  5:reason 6:message
ModifyVolumeStatus  1:targetVolumeAttributesClassName 2:status!
StorageClass  1:metadata:ObjectMeta 2:provisioner! 3:parameters:{str} 4:reclaimPolicy!
  5:mountOptions:[str] 6:allowVolumeExpansion!:bool 7:volumeBindingMode!
  8:allowedTopologies:[TopologySelectorTerm]
TopologySelectorTerm  1:matchLabelExpressions:[TopologySelectorLabelRequirement]
TopologySelectorLabelRequirement  1:key! 2:values:[str]
VolumeAttachment  1:metadata:ObjectMeta 2:spec:VolumeAttachmentSpec
  3:status:VolumeAttachmentStatus
VolumeAttachmentSpec  1:attacher! 2:source:VolumeAttachmentSource 3:nodeName!
VolumeAttachmentSource  1:persistentVolumeName! 2:inlineVolumeSpec:PersistentVolumeSpec
VolumeAttachmentStatus  1:attached!:bool 2:attachmentMetadata:{str} 3:attachError:VolumeError
  4:detachError:VolumeError
VolumeError  1:time:Time 2:message 3:errorCode!:int
CSIDriver  1:metadata:ObjectMeta 2:spec:CSIDriverSpec
CSIDriverSpec  1:attachRequired!:bool 2:podInfoOnMount!:bool 3:volumeLifecycleModes:[str]
  4:storageCapacity!:bool 5:fsGroupPolicy! 6:tokenRequests:[TokenRequest]
  7:requiresRepublish!:bool 8:seLinuxMount!:bool
  9:nodeAllocatableUpdatePeriodSeconds!:int 10:serviceAccountTokenInSecrets!:bool
TokenRequest  1:audience! 2:expirationSeconds!:int
CSINode  1:metadata:ObjectMeta 2:spec:CSINodeSpec
CSINodeSpec  1:drivers:[CSINodeDriver]
CSINodeDriver  1:name! 2:nodeID! 3:topologyKeys:[str] 4:allocatable:VolumeNodeResources
VolumeNodeResources  1:count!:int
Binding  1:metadata:ObjectMeta 2:target:ObjectReference
VolumeAttributesClass  1:metadata:ObjectMeta 2:driverName! 3:parameters:{str}
CSIStorageCapacity  1:metadata:ObjectMeta 2:nodeTopology:LabelSelector 3:storageClassName
  4:capacity:Quantity 5:maximumVolumeSize:Quantity
"""

_PODS: Final = """
Pod  1:metadata:ObjectMeta 2:spec:PodSpec 3:status:PodStatus
PodSpec  1:volumes:[Volume] 2:containers:[Container] 3:restartPolicy
  4:terminationGracePeriodSeconds!:int 5:activeDeadlineSeconds!:int 6:dnsPolicy
  7:nodeSelector:{str} 8:serviceAccountName 9:serviceAccount 10:nodeName 11:hostNetwork:bool
  12:hostPID:bool 13:hostIPC:bool 14:securityContext:PodSecurityContext
  15:imagePullSecrets:[LocalObjectReference] 16:hostname 17:subdomain 18:affinity:Affinity
  19:schedulerName 20:initContainers:[Container] 21:automountServiceAccountToken!:bool
  22:tolerations:[Toleration] 23:hostAliases:[HostAlias] 24:priorityClassName 25:priority!:int
  26:dnsConfig:PodDNSConfig 27:shareProcessNamespace!:bool 28:readinessGates:[PodReadinessGate]
  29:runtimeClassName! 30:enableServiceLinks!:bool 31:preemptionPolicy! 32:overhead:{Quantity}
  33:topologySpreadConstraints:[TopologySpreadConstraint]
  34:ephemeralContainers:[EphemeralContainer] 35:setHostnameAsFQDN!:bool 36:os:PodOS
  37:hostUsers!:bool 38:schedulingGates:[PodSchedulingGate] 39:resourceClaims:[PodResourceClaim]
  40:resources:ResourceRequirements
Volume  1:name! 2:+volumeSource:VolumeSource
VolumeSource  1:hostPath:HostPathVolumeSource 2:emptyDir:EmptyDirVolumeSource
  3:gcePersistentDisk:GCEPersistentDiskVolumeSource
  4:awsElasticBlockStore:AWSElasticBlockStoreVolumeSource 5:gitRepo:GitRepoVolumeSource
  6:secret:SecretVolumeSource 7:nfs:NFSVolumeSource 8:iscsi:ISCSIVolumeSource
  9:glusterfs:GlusterfsVolumeSource 10:persistentVolumeClaim:PersistentVolumeClaimVolumeSource
  11:rbd:RBDVolumeSource 12:flexVolume:FlexVolumeSource 13:cinder:CinderVolumeSource
  14:cephfs:CephFSVolumeSource 15:flocker:FlockerVolumeSource
  16:downwardAPI:DownwardAPIVolumeSource 17:fc:FCVolumeSource 18:azureFile:AzureFileVolumeSource
  19:configMap:ConfigMapVolumeSource 20:vsphereVolume:VsphereVirtualDiskVolumeSource
  21:quobyte:QuobyteVolumeSource 22:azureDisk:AzureDiskVolumeSource
  23:photonPersistentDisk:PhotonPersistentDiskVolumeSource 24:portworxVolume:PortworxVolumeSource
  25:scaleIO:ScaleIOVolumeSource 26:projected:ProjectedVolumeSource
  27:storageos:StorageOSVolumeSource 28:csi:CSIVolumeSource 29:ephemeral:EphemeralVolumeSource
  30:image:ImageVolumeSource
EmptyDirVolumeSource  1:medium 2:sizeLimit:Quantity
GitRepoVolumeSource  1:repository! 2:revision 3:directory
SecretVolumeSource  1:secretName 2:items:[KeyToPath] 3:defaultMode!:int 4:optional!:bool
KeyToPath  1:key! 2:path! 3:mode!:int
ISCSIVolumeSource  1:targetPortal! 2:iqn! 3:lun!:int 4:iscsiInterface 5:fsType 6:readOnly:bool
  7:portals:[str] 8:chapAuthDiscovery:bool 10:secretRef:LocalObjectReference
  11:chapAuthSession:bool 12:initiatorName!
LocalObjectReference  1:name
GlusterfsVolumeSource  1:endpoints! 2:path! 3:readOnly:bool
PersistentVolumeClaimVolumeSource  1:claimName! 2:readOnly:bool
RBDVolumeSource  1:monitors:[str] 2:image! 3:fsType 4:pool 5:user 6:keyring
  7:secretRef:LocalObjectReference 8:readOnly:bool
FlexVolumeSource  1:driver! 2:fsType 3:secretRef:LocalObjectReference 4:readOnly:bool
  5:options:{str}
CinderVolumeSource  1:volumeID! 2:fsType 3:readOnly:bool 4:secretRef:LocalObjectReference
CephFSVolumeSource  1:monitors:[str] 2:path 3:user 4:secretFile 5:secretRef:LocalObjectReference
  6:readOnly:bool
DownwardAPIVolumeSource  1:items:[DownwardAPIVolumeFile] 2:defaultMode!:int
DownwardAPIVolumeFile  1:path! 2:fieldRef:ObjectFieldSelector
  3:resourceFieldRef:ResourceFieldSelector 4:mode!:int
ObjectFieldSelector  1:apiVersion 2:fieldPath!
ResourceFieldSelector  1:containerName 2:resource! 3:divisor:Quantity
AzureFileVolumeSource  1:secretName! 2:shareName! 3:readOnly:bool
ConfigMapVolumeSource  1:+localObjectReference:LocalObjectReference 2:items:[KeyToPath]
  3:defaultMode!:int 4:optional!:bool
ProjectedVolumeSource  1:sources:[VolumeProjection] 2:defaultMode!:int
VolumeProjection  1:secret:SecretProjection 2:downwardAPI:DownwardAPIProjection
  3:configMap:ConfigMapProjection 4:serviceAccountToken:ServiceAccountTokenProjection
  5:clusterTrustBundle:ClusterTrustBundleProjection
SecretProjection  1:+localObjectReference:LocalObjectReference 2:items:[KeyToPath]
  4:optional!:bool
DownwardAPIProjection  1:items:[DownwardAPIVolumeFile]
ConfigMapProjection  1:+localObjectReference:LocalObjectReference 2:items:[KeyToPath]
  4:optional!:bool
ServiceAccountTokenProjection  1:audience 2:expirationSeconds!:int 3:path!
ClusterTrustBundleProjection  1:name! 2:signerName! 3:labelSelector:LabelSelector 4:path!
  5:optional!:bool
ScaleIOVolumeSource  1:gateway! 2:system! 3:secretRef:LocalObjectReference 4:sslEnabled:bool
  5:protectionDomain 6:storagePool 7:storageMode 8:volumeName 9:fsType 10:readOnly:bool
StorageOSVolumeSource  1:volumeName 2:volumeNamespace 3:fsType 4:readOnly:bool
  5:secretRef:LocalObjectReference
CSIVolumeSource  1:driver! 2:readOnly!:bool 3:fsType! 4:volumeAttributes:{str}
  5:nodePublishSecretRef:LocalObjectReference
EphemeralVolumeSource  1:volumeClaimTemplate:PersistentVolumeClaimTemplate
PersistentVolumeClaimTemplate  1:metadata:ObjectMeta 2:spec:PersistentVolumeClaimSpec
ImageVolumeSource  1:reference 2:pullPolicy
Container  1:name! 2:image 3:command:[str] 4:args:[str] 5:workingDir 6:ports:[ContainerPort]
  7:env:[EnvVar] 8:resources:ResourceRequirements 9:volumeMounts:[VolumeMount]
  10:livenessProbe:Probe 11:readinessProbe:Probe 12:lifecycle:Lifecycle 13:terminationMessagePath
  14:imagePullPolicy 15:securityContext:SecurityContext 16:stdin:bool 17:stdinOnce:bool
  18:tty:bool 19:envFrom:[EnvFromSource] 20:terminationMessagePolicy
  21:volumeDevices:[VolumeDevice] 22:startupProbe:Probe 23:resizePolicy:[ContainerResizePolicy]
  24:restartPolicy!
ContainerPort  1:name 2:hostPort:int 3:containerPort!:int 4:protocol 5:hostIP
EnvFromSource  1:prefix 2:configMapRef:ConfigMapEnvSource 3:secretRef:SecretEnvSource
ConfigMapEnvSource  1:+localObjectReference:LocalObjectReference 2:optional!:bool
SecretEnvSource  1:+localObjectReference:LocalObjectReference 2:optional!:bool
EnvVar  1:name! 2:value 3:valueFrom:EnvVarSource
EnvVarSource  1:fieldRef:ObjectFieldSelector 2:resourceFieldRef:ResourceFieldSelector
  3:configMapKeyRef:ConfigMapKeySelector 4:secretKeyRef:SecretKeySelector
ConfigMapKeySelector  1:+localObjectReference:LocalObjectReference 2:key! 3:optional!:bool
SecretKeySelector  1:+localObjectReference:LocalObjectReference 2:key! 3:optional!:bool
ResourceRequirements  1:limits:{Quantity} 2:requests:{Quantity} 3:claims:[ResourceClaim]
ResourceClaim  1:name! 2:request
ContainerResizePolicy  1:resourceName! 2:restartPolicy!
VolumeMount  1:name! 2:readOnly:bool 3:mountPath! 4:subPath 5:mountPropagation! 6:subPathExpr
  7:recursiveReadOnly!
VolumeDevice  1:name! 2:devicePath!
Probe  1:+handler:ProbeHandler 2:initialDelaySeconds:int 3:timeoutSeconds:int 4:periodSeconds:int
  5:successThreshold:int 6:failureThreshold:int 7:terminationGracePeriodSeconds!:int
ProbeHandler  1:exec:ExecAction 2:httpGet:HTTPGetAction 3:tcpSocket:TCPSocketAction
  4:grpc:GRPCAction
ExecAction  1:command:[str]
HTTPGetAction  1:path 2:port:IntOrString 3:host 4:scheme 5:httpHeaders:[HTTPHeader]
HTTPHeader  1:name! 2:value!
TCPSocketAction  1:port:IntOrString 2:host
GRPCAction  1:port!:int 2:service!
Lifecycle  1:postStart:LifecycleHandler 2:preStop:LifecycleHandler
LifecycleHandler  1:exec:ExecAction 2:httpGet:HTTPGetAction 3:tcpSocket:TCPSocketAction
  4:sleep:SleepAction
SleepAction  1:seconds!:int
SecurityContext  1:capabilities:Capabilities 2:privileged!:bool 3:seLinuxOptions:SELinuxOptions
  4:runAsUser!:int 5:runAsNonRoot!:bool 6:readOnlyRootFilesystem!:bool
  7:allowPrivilegeEscalation!:bool 8:runAsGroup!:int 9:procMount!
  10:windowsOptions:WindowsSecurityContextOptions 11:seccompProfile:SeccompProfile
  12:appArmorProfile:AppArmorProfile
Capabilities  1:add:[str] 2:drop:[str]
SELinuxOptions  1:user 2:role 3:type 4:level
WindowsSecurityContextOptions  1:gmsaCredentialSpecName! 2:gmsaCredentialSpec! 3:runAsUserName!
  4:hostProcess!:bool
SeccompProfile  1:type! 2:localhostProfile!
AppArmorProfile  1:type! 2:localhostProfile!
EphemeralContainer  1:+ephemeralContainerCommon:EphemeralContainerCommon 2:targetContainerName
EphemeralContainerCommon  1:name! 2:image 3:command:[str] 4:args:[str] 5:workingDir
  6:ports:[ContainerPort] 7:env:[EnvVar] 8:resources:ResourceRequirements
  9:volumeMounts:[VolumeMount] 10:livenessProbe:Probe 11:readinessProbe:Probe
  12:lifecycle:Lifecycle 13:terminationMessagePath 14:imagePullPolicy
  15:securityContext:SecurityContext 16:stdin:bool 17:stdinOnce:bool 18:tty:bool
  19:envFrom:[EnvFromSource] 20:terminationMessagePolicy 21:volumeDevices:[VolumeDevice]
  22:startupProbe:Probe 23:resizePolicy:[ContainerResizePolicy] 24:restartPolicy!
PodSecurityContext  1:seLinuxOptions:SELinuxOptions 2:runAsUser!:int 3:runAsNonRoot!:bool
  4:supplementalGroups:[int] 5:fsGroup!:int 6:runAsGroup!:int 7:sysctls:[Sysctl]
  8:windowsOptions:WindowsSecurityContextOptions 9:fsGroupChangePolicy!
  10:seccompProfile:SeccompProfile 11:appArmorProfile:AppArmorProfile 12:supplementalGroupsPolicy!
  13:seLinuxChangePolicy!
Sysctl  1:name! 2:value!
Affinity  1:nodeAffinity:NodeAffinity 2:podAffinity:PodAffinity 3:podAntiAffinity:PodAntiAffinity
NodeAffinity  1:requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
  2:preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
PreferredSchedulingTerm  1:weight!:int 2:preference:NodeSelectorTerm
PodAffinity  1:requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
  2:preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
PodAffinityTerm  1:labelSelector:LabelSelector 2:namespaces:[str] 3:topologyKey!
  4:namespaceSelector:LabelSelector 5:matchLabelKeys:[str] 6:mismatchLabelKeys:[str]
WeightedPodAffinityTerm  1:weight!:int 2:podAffinityTerm:PodAffinityTerm
PodAntiAffinity  1:requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
  2:preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
Toleration  1:key 2:operator 3:value 4:effect 5:tolerationSeconds!:int
HostAlias  1:ip! 2:hostnames:[str]
PodDNSConfig  1:nameservers:[str] 2:searches:[str] 3:options:[PodDNSConfigOption]
PodDNSConfigOption  1:name 2:value!
PodReadinessGate  1:conditionType!
TopologySpreadConstraint  1:maxSkew!:int 2:topologyKey! 3:whenUnsatisfiable!
  4:labelSelector:LabelSelector 5:minDomains!:int 6:nodeAffinityPolicy! 7:nodeTaintsPolicy!
  8:matchLabelKeys:[str]
PodOS  1:name!
PodSchedulingGate  1:name!
PodResourceClaim  1:name! 3:resourceClaimName! 4:resourceClaimTemplateName!
PodStatus  1:phase 2:conditions:[PodCondition] 3:message 4:reason 5:hostIP 6:podIP
  7:startTime:Time 8:containerStatuses:[ContainerStatus] 9:qosClass
  10:initContainerStatuses:[ContainerStatus] 11:nominatedNodeName 12:podIPs:[PodIP]
  13:ephemeralContainerStatuses:[ContainerStatus] 14:resize
  15:resourceClaimStatuses:[PodResourceClaimStatus] 16:hostIPs:[HostIP]
PodCondition  1:type! 2:status! 3:lastProbeTime:Time 4:lastTransitionTime:Time 5:reason 6:message
HostIP  1:ip!
PodIP  1:ip
ContainerStatus  1:name! 2:state:ContainerState 3:lastState:ContainerState 4:ready!:bool
  5:restartCount!:int 6:image! 7:imageID! 8:containerID 9:started!:bool
  10:allocatedResources:{Quantity} 11:resources:ResourceRequirements
  12:volumeMounts:[VolumeMountStatus] 13:user:ContainerUser
  14:allocatedResourcesStatus:[ResourceStatus]
ContainerState  1:waiting:ContainerStateWaiting 2:running:ContainerStateRunning
  3:terminated:ContainerStateTerminated
ContainerStateWaiting  1:reason 2:message
ContainerStateRunning  1:startedAt:Time
ContainerStateTerminated  1:exitCode!:int 2:signal:int 3:reason 4:message 5:startedAt:Time
  6:finishedAt:Time 7:containerID
VolumeMountStatus  1:name! 2:mountPath! 3:readOnly:bool 4:recursiveReadOnly!
ContainerUser  1:linux:LinuxContainerUser
LinuxContainerUser  1:uid!:int 2:gid!:int 3:supplementalGroups:[int]
ResourceStatus  1:name! 2:resources:[ResourceHealth]
ResourceHealth  1:resourceID! 2:health
PodResourceClaimStatus  1:name! 2:resourceClaimName!
"""

_REVIEWS: Final = """
SelfSubjectAccessReview  1:metadata:ObjectMeta 2:spec:SelfSubjectAccessReviewSpec
  3:status:SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec  1:resourceAttributes:ResourceAttributes
  2:nonResourceAttributes:NonResourceAttributes
ResourceAttributes  1:namespace 2:verb 3:group 4:version 5:resource 6:subresource 7:name
  8:fieldSelector:FieldSelectorAttributes 9:labelSelector:LabelSelectorAttributes
FieldSelectorAttributes  1:rawSelector 2:requirements:[FieldSelectorRequirement]
FieldSelectorRequirement  1:key! 2:operator! 3:values:[str]
LabelSelectorAttributes  1:rawSelector 2:requirements:[LabelSelectorRequirement]
NonResourceAttributes  1:path 2:verb
SubjectAccessReviewStatus  1:allowed!:bool 2:reason 3:evaluationError 4:denied:bool
SubjectAccessReview  1:metadata:ObjectMeta 2:spec:SubjectAccessReviewSpec
  3:status:SubjectAccessReviewStatus
SubjectAccessReviewSpec  1:resourceAttributes:ResourceAttributes
  2:nonResourceAttributes:NonResourceAttributes 3:user 4:groups:[str] 5:extra:{ExtraValue} 6:uid
SelfSubjectRulesReview  1:metadata:ObjectMeta 2:spec:SelfSubjectRulesReviewSpec
  3:status:SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec  1:namespace
SubjectRulesReviewStatus  1:resourceRules:[ResourceRule] 2:nonResourceRules:[NonResourceRule]
  3:incomplete!:bool 4:evaluationError
ResourceRule  1:verbs:[str] 2:apiGroups:[str] 3:resources:[str] 4:resourceNames:[str]
NonResourceRule  1:verbs:[str] 2:nonResourceURLs:[str]
SelfSubjectReview  1:metadata:ObjectMeta 2:status:SelfSubjectReviewStatus
SelfSubjectReviewStatus  1:userInfo:UserInfo
TokenReview  1:metadata:ObjectMeta 2:spec:TokenReviewSpec 3:status:TokenReviewStatus
TokenReviewSpec  1:token 2:audiences:[str]
TokenReviewStatus  1:authenticated:bool 2:user:UserInfo 3:error 4:audiences:[str]
UserInfo  1:username 2:uid 3:groups:[str] 4:extra:{ExtraValue}
"""

# By apiVersion: the kinds that are read, each by the message of its name.
_KINDS: Final = {
    "v1": "Binding ConfigMap Event LimitRange Namespace Node PersistentVolume "
    "PersistentVolumeClaim Pod ResourceQuota Secret",
    "authentication.k8s.io/v1": "SelfSubjectReview TokenReview",
    "authorization.k8s.io/v1": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
    "coordination.k8s.io/v1": "Lease",
    "events.k8s.io/v1": "Event",
    "storage.k8s.io/v1": "CSIDriver CSINode CSIStorageCapacity StorageClass "
    "VolumeAttachment VolumeAttributesClass",
}
_OTHER_NAMES: Final = {("events.k8s.io/v1", "Event"): "events.Event"}


class Form(Enum):
    """How often a field may be there, and where it belongs in JSON."""

    ONE = "one"
    LIST = "list"
    MAP = "map"
    JOINED = "joined"  # its fields are the parent's


class Field(NamedTuple):
    """One field of a message. `shows_zero`: its zero value is in JSON if it was sent."""

    number: int
    name: str
    type: str
    form: Form
    shows_zero: bool


def message_of(api_version: str, kind: str) -> str:
    """The message of a kind, "" if there is none. Options of a DELETE may have any version."""
    if kind == "DeleteOptions":
        return kind
    if kind not in _KINDS.get(api_version, "").split():
        return ""
    return _OTHER_NAMES.get((api_version, kind), kind)


@cache
def messages() -> dict[str, tuple[Field, ...]]:
    """All messages by name."""
    found = {}
    for text in (_FRAME, _METADATA, _CORE, _STORAGE, _PODS, _REVIEWS):
        for block in re.split(r"\n(?=\S)", text.strip()):
            name, *fields = block.split()
            found[name] = tuple(_fields(fields))
    return found


def _fields(words: list[str]) -> Iterator[Field]:
    for word in words:
        number, name, type_ = (*word.split(":"), "str")[:3]
        form = {"[": Form.LIST, "{": Form.MAP}.get(type_[0], Form.ONE)
        if name.startswith("+"):
            form = Form.JOINED
        yield Field(int(number), name.strip("+!"), type_.strip("[]{}"), form, name.endswith("!"))
