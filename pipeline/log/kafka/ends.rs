//! Where partitions begin and end, as the client last heard in a fetch.

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;

use crate::log::TopicPartition;

/// The first offset kept and the end of a partition, without asking a broker; none before the first fetch.
#[expect(unsafe_code, reason = "rdkafka has no safe wrapper for the offsets that librdkafka keeps from its fetches")]
pub(super) fn cached_ends<C: ClientContext>(client: &Client<C>, at: &TopicPartition) -> Option<(i64, i64)> {
    let topic = CString::new(&*at.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives through the call; the topic's name ends with a zero; both offsets outlive the call.
    let code = unsafe {
        let client = client.native_ptr();
        native::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), at.partition, &mut low, &mut high)
    };
    let is_known = code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0 && high >= 0;
    is_known.then_some((low, high))
}
