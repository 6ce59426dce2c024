//! What tells a topic from another one of the same name: its id, which rdkafka does not ask for.
#![expect(unsafe_code, reason = "rdkafka has no safe wrapper for DescribeTopics")]

use std::ffi::{CStr, CString};

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{START_MAX, errors};
use crate::log::{Class, LogError};

/// librdkafka's objects that this call owns, destroyed in the order of their making reversed.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from librdkafka's maker of this destructor's kind, and is destroyed once.
            unsafe { self.1(self.0) }
        }
    }
}

/// The id of a topic that exists, in librdkafka's base64.
pub(super) fn topic_id<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<String, LogError> {
    let failed = |class, code| errors::of_code(class, format!("id of topic \"{topic}\""), code);
    let name = CString::new(topic).map_err(|_| failed(Class::Fatal, Code::InvalidTopic))?;
    let mut names = [name.as_ptr()];
    // SAFETY: every pointer is checked or owned by a guard; the names, the client and the queue outlive the call; what the
    // event holds is read before the event's guard is dropped.
    unsafe {
        let rk = client.native_ptr();
        let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = Owned(topics, native::rd_kafka_TopicCollection_destroy);
        let queue = Owned(native::rd_kafka_queue_new(rk), native::rd_kafka_queue_destroy);
        native::rd_kafka_DescribeTopics(rk, topics.0, std::ptr::null(), queue.0);
        let event = native::rd_kafka_queue_poll(queue.0, START_MAX.as_millis() as i32);
        let event = Owned(event, native::rd_kafka_event_destroy);
        if event.0.is_null() {
            return Err(failed(Class::Retriable, Code::OperationTimedOut));
        }
        let code = native::rd_kafka_event_error(event.0);
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(Class::Retriable, code.into()));
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        let found = match result.is_null() {
            true => std::ptr::null_mut(),
            false => native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count),
        };
        if found.is_null() || count == 0 {
            return Err(failed(Class::Retriable, Code::UnknownTopicOrPartition));
        }
        let id = native::rd_kafka_TopicDescription_topic_id(*found);
        let text = if id.is_null() { std::ptr::null() } else { native::rd_kafka_Uuid_base64str(id) };
        if text.is_null() {
            return Err(failed(Class::Retriable, Code::UnknownTopicOrPartition));
        }
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
