//! Topics as the brokers see them: ids, partitions, and what this user may do, which rdkafka does not ask for.
#![expect(unsafe_code, reason = "rdkafka has no safe wrapper for DescribeTopics")]

use std::ffi::{CStr, CString};

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::START_MAX;
use crate::log::{Operation, TopicState};

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

/// Why topics could not be seen.
pub(super) struct Unanswered {
    /// Which.
    pub topics: String,
    /// Why.
    pub code: Code,
}

/// The state of each topic, without settings; none where it does not exist.
pub(super) fn survey<C: ClientContext>(
    client: &Client<C>,
    topics: &[String],
) -> Result<Vec<Option<TopicState>>, Unanswered> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |code| Unanswered { topics: format!("topics {topics:?}"), code };
    let names: Result<Vec<CString>, _> = topics.iter().map(|topic| CString::new(topic.as_str())).collect();
    let names = names.map_err(|_| failed(Code::InvalidTopic))?;
    let mut names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: every pointer is checked or owned by a guard; the names, the client and the queue outlive the call; what the
    // event holds is read before the event's guard is dropped.
    unsafe {
        let rk = client.native_ptr();
        let collection = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let collection = Owned(collection, native::rd_kafka_TopicCollection_destroy);
        let describes = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(rk, describes);
        let options = Owned(options, native::rd_kafka_AdminOptions_destroy);
        let refused = native::rd_kafka_AdminOptions_set_include_authorized_operations(options.0, 1);
        drop(Owned(refused, native::rd_kafka_error_destroy));
        let queue = Owned(native::rd_kafka_queue_new(rk), native::rd_kafka_queue_destroy);
        native::rd_kafka_DescribeTopics(rk, collection.0, options.0, queue.0);
        let event = native::rd_kafka_queue_poll(queue.0, START_MAX.as_millis() as i32);
        let event = Owned(event, native::rd_kafka_event_destroy);
        if event.0.is_null() {
            return Err(failed(Code::OperationTimedOut));
        }
        let code = native::rd_kafka_event_error(event.0);
        if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(code.into()));
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        let found = match result.is_null() {
            true => std::ptr::null_mut(),
            false => native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count),
        };
        if found.is_null() || count != topics.len() {
            return Err(failed(Code::BadMessage));
        }
        // librdkafka sorts what it was asked for.
        let found: Result<Vec<_>, _> = (0..count).map(|place| state(*found.add(place))).collect();
        let found = found?;
        let of = |topic: &String| found.iter().find(|(name, _)| name == topic).and_then(|(_, state)| state.clone());
        Ok(topics.iter().map(of).collect())
    }
}

/// One topic's name, and its state.
///
/// # Safety
/// `found` is a topic of a result that lives through the call.
unsafe fn state(found: *const native::rd_kafka_TopicDescription_t) -> Result<(String, Option<TopicState>), Unanswered> {
    // SAFETY: librdkafka's accessors of a result that lives; each array has as many elements as it says.
    unsafe {
        let text = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
        let name = text(native::rd_kafka_TopicDescription_name(found));
        let error = native::rd_kafka_TopicDescription_error(found);
        match Code::from(native::rd_kafka_error_code(error)) {
            Code::NoError => {}
            Code::UnknownTopicOrPartition | Code::UnknownTopic => return Ok((name, None)),
            Code::TopicAuthorizationFailed => {
                let denied = Operation::ALL.to_vec();
                return Ok((name, Some(TopicState { id: String::new(), partitions: 0, denied, settings: Vec::new() })));
            }
            code => return Err(Unanswered { topics: format!("topic \"{name}\""), code }),
        }
        let id = native::rd_kafka_TopicDescription_topic_id(found);
        let id = if id.is_null() { std::ptr::null() } else { native::rd_kafka_Uuid_base64str(id) };
        let id = if id.is_null() { String::new() } else { text(id) };
        let (mut partitions, mut count) = (0, 0);
        native::rd_kafka_TopicDescription_partitions(found, &raw mut partitions);
        let allowed = native::rd_kafka_TopicDescription_authorized_operations(found, &raw mut count);
        // Brokers that know of no rights do not tell any.
        let allowed =
            (!allowed.is_null()).then(|| std::slice::from_raw_parts(allowed, count)).filter(|all| !all.is_empty());
        let is_denied = |operation: &Operation| allowed.is_some_and(|all| !all.contains(&native_of(*operation)));
        let denied = Operation::ALL.into_iter().filter(is_denied).collect();
        Ok((name, Some(TopicState { id, partitions: partitions as i32, denied, settings: Vec::new() })))
    }
}

fn native_of(operation: Operation) -> native::rd_kafka_AclOperation_t {
    use native::rd_kafka_AclOperation_t as Native;
    match operation {
        Operation::Describe => Native::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        Operation::Read => Native::RD_KAFKA_ACL_OPERATION_READ,
        Operation::Write => Native::RD_KAFKA_ACL_OPERATION_WRITE,
        Operation::Delete => Native::RD_KAFKA_ACL_OPERATION_DELETE,
    }
}
