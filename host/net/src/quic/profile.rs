//! The transport's settings. Each is a promise about memory or latency.

use std::{sync::Arc, time::Duration};

use quinn::{Connection, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Bidirectional streams a peer may open: the control stream. Each could hold a whole window that
/// nobody reads.
const BIDIRECTIONAL: VarInt = VarInt::from_u32(1);

/// Large messages a peer may have on their way at once: four times those that are sent at once, so
/// that the next ones come while the last bytes of others are under way.
pub(super) const BULK_STREAMS: u32 = 32;

/// What one stream may have sent that is not read yet. It bounds how far a bulk transfer can get
/// ahead of control messages: with 256 KiB a ping beside bulk takes 0.25 ms, with 1 MiB about
/// 1 ms, and bulk is faster. Links over wide areas want 16 MiB.
const STREAM_WINDOW: VarInt = VarInt::from_u32(1 << 20);

/// What is kept until the peer has acknowledged it. It bounds memory for a peer that is gone, and
/// throughput to 16 MiB a round trip.
const SEND_WINDOW: u64 = 16 << 20;

/// The least of it that a link has whose identity has many.
const SEND_WINDOW_MIN: u64 = 1 << 20;

/// Keeps the paths of firewalls open; well under [`IDLE_MS`].
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// After so long without a packet the connection is lost. Workers are given up earlier, by their
/// heartbeat.
const IDLE_MS: VarInt = VarInt::from_u32(20_000);

/// The largest packet that is tried: Ethernet's, with IPv4 and UDP headers off. Larger ones stall,
/// as the packets of one segmentation offload (ten) must stay under 64 KiB together.
const MTU_MAX: u16 = 1_452;

/// What somebody without a certificate may send ahead: an enrollment and nothing else.
const STRANGER_WINDOW: u32 = 64 << 10;

/// For who dials: it has checked its peer before a stream exists.
pub(super) fn member() -> Arc<TransportConfig> {
    let mut config = common();
    config
        .max_concurrent_bidi_streams(BIDIRECTIONAL)
        .max_concurrent_uni_streams(VarInt::from_u32(BULK_STREAMS))
        .receive_window(window(BULK_STREAMS))
        .send_window(SEND_WINDOW);
    Arc::new(config)
}

/// For who is dialled: until [`promote`], the peer may be anybody.
pub(super) fn stranger() -> Arc<TransportConfig> {
    let mut config = common();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .send_window(STRANGER_WINDOW.into());
    Arc::new(config)
}

/// Gives a peer whose certificate was checked what a member may use, whose identity has so many
/// links already. Each further link may have half as much under way: what is sent and not read, or
/// read and not acknowledged, takes memory as well, and so all links of an identity together take
/// little more than twice what one may.
pub(super) fn promote(connection: &Connection, links: usize) {
    let halvings = u32::try_from(links).unwrap_or(u32::MAX);
    let streams = BULK_STREAMS.checked_shr(halvings).unwrap_or(0).max(1);
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(streams));
    connection.set_receive_window(window(streams));
    let send = SEND_WINDOW.checked_shr(halvings).unwrap_or(0).max(SEND_WINDOW_MIN);
    connection.set_send_window(send);
}

/// What all streams together may have sent that is not read yet: every stream's window at once,
/// the control stream's too, so that large messages that are not read can never block that one. And
/// a quarter more: the peer is told of room again only once an eighth of all of it is free.
fn window(streams: u32) -> VarInt {
    let each = u32::try_from(STREAM_WINDOW.into_inner()).unwrap_or(u32::MAX);
    let all = each.saturating_mul(streams.saturating_add(2));
    VarInt::from_u32(all.saturating_add(all / 4))
}

fn common() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_MAX);
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(STREAM_WINDOW)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(IDLE_MS)))
        .mtu_discovery_config(Some(mtu))
        // Without it bulk is three times slower.
        .enable_segmentation_offload(true)
        // Unreliable datagrams are not used.
        .datagram_receive_buffer_size(None);
    config
}
