import { domain, domains, snapshot, snapshots, storagePool, volume } from './records.js'
import { typedParameter } from './typed-parameter.js'
import {
  bool,
  charList,
  fixedChars,
  int,
  list,
  optional,
  string,
  struct,
  uhyper,
  uint,
  type Codec,
  type ValueOf,
} from './xdr.js'

/*
 * The procedures of libvirt that are called, with the names, numbers and fields of its `remote_protocol.x`: `call('domain_create', { dom })`
 * gets its types from here. Numbers are never given anew, and a procedure's fields never change.
 */

/** `REMOTE_PROGRAM` */
export const remoteProgram = 0x2000_8086

/** A procedure of libvirt. */
export interface Procedure<A, R> {
  readonly number: number
  readonly args: Codec<A>
  readonly result: Codec<R>
}

const procedure = <A, R>(number: number, args: Codec<A>, result: Codec<R>): Procedure<A, R> => ({
  number,
  args,
  result,
})

const nothing = struct({})
const onDomain = struct({ dom: domain })
const onDomainWithFlags = struct({ dom: domain, flags: uint })
const onSnapshot = struct({ snap: snapshot, flags: uint })
/** `REMOTE_AUTH_SASL_DATA_MAX` */
const saslData = charList(65_536)
const saslAnswer = struct({ complete: bool, nil: bool, data: saslData })

const procedures = {
  auth_list: procedure(66, nothing, struct({ types: list(int, 20) })),
  auth_sasl_init: procedure(67, nothing, struct({ mechlist: string })),
  auth_sasl_start: procedure(68, struct({ mech: string, nil: bool, data: saslData }), saslAnswer),
  auth_sasl_step: procedure(69, struct({ nil: bool, data: saslData }), saslAnswer),
  auth_polkit: procedure(70, nothing, struct({ complete: bool })),

  connect_open: procedure(1, struct({ name: optional(string), flags: uint }), nothing),
  connect_close: procedure(2, nothing, nothing),
  connect_get_type: procedure(3, nothing, struct({ type: string })),
  connect_get_version: procedure(4, nothing, struct({ hv_ver: uhyper })),
  connect_get_hostname: procedure(59, nothing, struct({ hostname: string })),
  connect_supports_feature: procedure(60, struct({ feature: int }), struct({ supported: bool })),
  connect_get_max_vcpus: procedure(5, struct({ type: optional(string) }), struct({ max_vcpus: int })),
  connect_get_capabilities: procedure(7, nothing, struct({ capabilities: string })),
  node_get_info: procedure(
    6,
    nothing,
    struct({
      model: fixedChars(32),
      memory: uhyper,
      cpus: int,
      mhz: int,
      nodes: int,
      sockets: int,
      cores: int,
      threads: int,
    }),
  ),
  node_get_free_memory: procedure(102, nothing, struct({ freeMem: uhyper })),
  connect_list_all_domains: procedure(273, struct({ need_results: bool, flags: uint }), struct({ domains, ret: uint })),
  connect_get_all_domain_stats: procedure(
    344,
    struct({ doms: domains, stats: uint, flags: uint }),
    // `REMOTE_DOMAIN_LIST_MAX`, `REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX`
    struct({ retStats: list(struct({ dom: domain, params: list(typedParameter, 262_144) }), 16_384) }),
  ),
  connect_domain_event_callback_register_any: procedure(
    316,
    struct({ eventID: int, dom: optional(domain) }),
    struct({ callbackID: int }),
  ),

  domain_lookup_by_name: procedure(23, struct({ name: string }), onDomain),
  domain_get_state: procedure(212, onDomainWithFlags, struct({ state: int, reason: int })),
  domain_get_xml_desc: procedure(14, onDomainWithFlags, struct({ xml: string })),
  domain_define_xml_flags: procedure(350, struct({ xml: string, flags: uint }), onDomain),
  domain_undefine_flags: procedure(231, onDomainWithFlags, nothing),
  domain_rename: procedure(
    358,
    struct({ dom: domain, new_name: optional(string), flags: uint }),
    struct({ retcode: int }),
  ),

  domain_create_with_flags: procedure(196, onDomainWithFlags, onDomain),
  domain_shutdown_flags: procedure(258, onDomainWithFlags, nothing),
  domain_reboot: procedure(27, onDomainWithFlags, nothing),
  domain_reset: procedure(245, onDomainWithFlags, nothing),
  domain_destroy_flags: procedure(234, onDomainWithFlags, nothing),
  domain_suspend: procedure(34, onDomain, nothing),
  domain_resume: procedure(28, onDomain, nothing),
  domain_pm_wakeup: procedure(267, onDomainWithFlags, nothing),
  domain_managed_save: procedure(182, onDomainWithFlags, nothing),
  domain_has_managed_save_image: procedure(183, onDomainWithFlags, struct({ result: bool })),
  domain_managed_save_remove: procedure(184, onDomainWithFlags, nothing),
  domain_get_job_stats: procedure(
    298,
    onDomainWithFlags,
    // `REMOTE_DOMAIN_JOB_STATS_MAX`
    struct({ type: int, params: list(typedParameter, 64) }),
  ),
  domain_abort_job: procedure(164, onDomain, nothing),

  domain_snapshot_create_xml: procedure(
    185,
    struct({ dom: domain, xml_desc: string, flags: uint }),
    struct({ snap: snapshot }),
  ),
  domain_list_all_snapshots: procedure(
    274,
    struct({ dom: domain, need_results: bool, flags: uint }),
    struct({ snapshots, ret: int }),
  ),
  domain_snapshot_get_xml_desc: procedure(186, onSnapshot, struct({ xml: string })),
  domain_has_current_snapshot: procedure(190, onDomainWithFlags, struct({ result: bool })),
  domain_snapshot_current: procedure(191, onDomainWithFlags, struct({ snap: snapshot })),
  domain_revert_to_snapshot: procedure(192, onSnapshot, nothing),
  domain_snapshot_delete: procedure(193, onSnapshot, nothing),

  domain_send_key: procedure(
    226,
    struct({ dom: domain, codeset: uint, holdtime: uint, keycodes: list(uint, 16), flags: uint }),
    nothing,
  ),
  domain_screenshot: procedure(
    211,
    struct({ dom: domain, screen: uint, flags: uint }),
    struct({ mime: optional(string) }),
  ),

  connect_list_all_storage_pools: procedure(
    281,
    struct({ need_results: bool, flags: uint }),
    // `REMOTE_STORAGE_POOL_LIST_MAX`
    struct({ pools: list(storagePool, 16_384), ret: uint }),
  ),
  storage_pool_get_xml_desc: procedure(88, struct({ pool: storagePool, flags: uint }), struct({ xml: string })),
  storage_pool_list_all_volumes: procedure(
    282,
    struct({ pool: storagePool, need_results: bool, flags: uint }),
    // `REMOTE_STORAGE_VOL_LIST_MAX`
    struct({ vols: list(volume, 16_384), ret: uint }),
  ),
  storage_vol_create_xml: procedure(
    93,
    struct({ pool: storagePool, xml: string, flags: uint }),
    struct({ vol: volume }),
  ),
  storage_vol_delete: procedure(94, struct({ vol: volume, flags: uint }), nothing),
  storage_vol_resize: procedure(260, struct({ vol: volume, capacity: uhyper, flags: uint }), nothing),
  storage_vol_lookup_by_path: procedure(97, struct({ path: string }), struct({ vol: volume })),
  storage_vol_get_path: procedure(100, struct({ vol: volume }), struct({ name: string })),
  storage_vol_upload: procedure(208, struct({ vol: volume, offset: uhyper, length: uhyper, flags: uint }), nothing),
} as const

/** `'domain_create_with_flags'`, ... */
export type ProcedureName = keyof typeof procedures
export type ArgumentsOf<P extends ProcedureName> = ValueOf<(typeof procedures)[P]['args']>
export type ResultOf<P extends ProcedureName> = ValueOf<(typeof procedures)[P]['result']>

/** The same, so that the compiler can relate a name to its types. */
export const procedureNamed: { readonly [P in ProcedureName]: Procedure<ArgumentsOf<P>, ResultOf<P>> } = procedures

/** A domain, as libvirt names it. */
export type Domain = ValueOf<typeof domain>
