//! What every WASI program may import and no task is given: sockets. Every socket and lookup is
//! refused, and so the functions on sockets, which need one to be called with, are linked but never
//! reached.

use wasmtime::component::{Linker, Resource, ResourceType, WasmStr};
use wasmtime_wasi::{
    ResourceTable, WasiCtx, WasiCtxView, WasiView,
    p2::{
        DynPollable, Network, TcpSocket, UdpSocket,
        bindings::{
            sockets::network::{ErrorCode, IpAddress, IpAddressFamily},
            sync,
        },
    },
    sockets::{WasiSockets, WasiSocketsView},
};

use super::{Caller, HostState, charge, drop_resource, push, table::OpenResource, wasi};

/// Stands behind the handles of lookups, of which none succeeds.
struct Lookup;

impl WasiView for HostState {
    /// Made when first asked for, which takes a call that no task can make.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table) = &mut **self
            .denied
            .get_or_insert_with(|| Box::new((WasiCtx::builder().build(), ResourceTable::new())));
        WasiCtxView { ctx, table }
    }
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_network(linker)?;
    link_lookup(linker)?;
    link_create(linker)?;
    sync::sockets::tcp::add_to_linker::<HostState, WasiSockets>(linker, HostState::sockets)?;
    sync::sockets::udp::add_to_linker::<HostState, WasiSockets>(linker, HostState::sockets)
}

fn link_network(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut network = linker.instance(wasi!("sockets/network"))?;
    network.resource("network", ResourceType::host::<Network>(), drop_resource)?;
    let mut instance = linker.instance(wasi!("sockets/instance-network"))?;
    instance.func_wrap("instance-network", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((push::<Network>(&mut store, OpenResource::Network)?,))
    })
}

fn link_lookup(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance(wasi!("sockets/ip-name-lookup"))?;
    lookup.resource("resolve-address-stream", ResourceType::host::<Lookup>(), drop_resource)?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: Caller<'_>, (_, _): (Resource<Network>, WasmStr)| {
            charge(&mut store, 0)?;
            // What programs know as the answer where names are not looked up.
            Ok((Err::<Resource<Lookup>, _>(ErrorCode::PermanentResolverFailure),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |_: Caller<'_>, (_,): (Resource<Lookup>,)| {
            Ok((Err::<Option<IpAddress>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: Caller<'_>, (_,): (Resource<Lookup>,)| {
            Ok((push::<DynPollable>(&mut store, OpenResource::Ready)?,))
        },
    )
}

fn link_create(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut tcp = linker.instance(wasi!("sockets/tcp-create-socket"))?;
    tcp.func_wrap("create-tcp-socket", |mut store: Caller<'_>, (_,): (IpAddressFamily,)| {
        charge(&mut store, 0)?;
        Ok((Err::<Resource<TcpSocket>, _>(ErrorCode::AccessDenied),))
    })?;
    let mut udp = linker.instance(wasi!("sockets/udp-create-socket"))?;
    udp.func_wrap("create-udp-socket", |mut store: Caller<'_>, (_,): (IpAddressFamily,)| {
        charge(&mut store, 0)?;
        Ok((Err::<Resource<UdpSocket>, _>(ErrorCode::AccessDenied),))
    })
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, component::Component};

    use super::*;
    use crate::{EngineSettings, admit::PROVIDED, engine};

    fn linker() -> (Engine, Linker<HostState>) {
        let config = engine::config(&EngineSettings::default()).expect("settings");
        let engine = Engine::new(&config).expect("an engine");
        let mut linker = Linker::new(&engine);
        crate::host::link(&mut linker).expect("no name twice");
        (engine, linker)
    }

    fn assert_links(text: &str) {
        let (engine, linker) = linker();
        let bytes = wat::parse_str(text).expect("the test's text");
        let component = Component::new(&engine, bytes).expect("a component");
        if let Err(error) = linker.instantiate_pre(&component) {
            panic!("{error:#}");
        }
    }

    #[test]
    fn every_interface_that_admission_lets_in_is_there() {
        for provided in PROVIDED {
            let version = match provided.version {
                crate::admit::Version::Exact(version) => version.to_owned(),
                crate::admit::Version::Series(series) => format!("{series}.0"),
            };
            assert_links(&format!(
                r#"(component (import "{}@{version}" (instance)))"#,
                provided.path
            ));
        }
    }

    #[test]
    fn sockets_can_be_asked_for() {
        for kind in ["tcp", "udp"] {
            assert_links(&format!(
                r#"(component
                    (import "wasi:sockets/network@0.2.6" (instance $network
                        (type $code (enum "unknown" "access-denied" "not-supported"
                            "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict"
                            "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
                            "address-not-bindable" "address-in-use" "remote-unreachable"
                            "connection-refused" "connection-reset" "connection-aborted"
                            "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
                            "permanent-resolver-failure"))
                        (export "error-code" (type (eq $code)))
                        (type $family (enum "ipv4" "ipv6"))
                        (export "ip-address-family" (type (eq $family)))))
                    (alias export $network "error-code" (type $code))
                    (alias export $network "ip-address-family" (type $family))
                    (import "wasi:sockets/{kind}@0.2.6" (instance $sockets
                        (export "{kind}-socket" (type (sub resource)))))
                    (alias export $sockets "{kind}-socket" (type $socket))
                    (import "wasi:sockets/{kind}-create-socket@0.2.6" (instance
                        (alias outer 1 $code (type $outer-code))
                        (export "error-code" (type $its-code (eq $outer-code)))
                        (alias outer 1 $family (type $outer-family))
                        (export "ip-address-family" (type $its-family (eq $outer-family)))
                        (alias outer 1 $socket (type $outer-socket))
                        (export "{kind}-socket" (type $its-socket (eq $outer-socket)))
                        (export "create-{kind}-socket" (func
                            (param "address-family" $its-family)
                            (result (result (own $its-socket) (error $its-code))))))))"#
            ));
        }
    }
}
