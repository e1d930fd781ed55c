//! The recordings of `tests/captures`: every frame is read, and what is written again equals what was recorded.
//!
//! The README there says how recordings are trimmed: strings are cut, the middle of a batch is a text that says how many
//! events were there.

use std::path::Path;

use livestore_traits::StoreId;
use livestore_wire::SyncPayload;
use livestore_wire::livestore::{
    Call, ClientFrame, Exit, Failure, Malformed, Request, RequestContext, ServerFrame, SyncQuery, SyncUrl,
    Transport, decode_client_frames,
};
use serde_json::Value;

/// One line of a recording.
struct Line {
    file: String,
    number: usize,
    value: Value,
}

impl Line {
    fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    fn transport(&self) -> Transport {
        if self.file.starts_with("ws") { Transport::Ws } else { Transport::Http }
    }

    /// What was said in this line: the message of a WebSocket, or the body of a request or answer.
    fn said(&self, by: &str) -> Option<Value> {
        let key = match self.text("kind") {
            "ws-text" | "ws-binary" => "data",
            "http-request" | "http-response" if self.transport() == Transport::Http => "body",
            _ => return None,
        };
        (self.text("dir") == by).then(|| whole(self.value[key].clone()))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }
}

fn lines() -> Vec<Line> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        lines.extend(text.lines().zip(1..).map(|(line, number)| Line {
            file: file.clone(),
            number,
            value: serde_json::from_str(line).unwrap(),
        }));
    }
    assert_eq!(lines.iter().filter(|line| line.number == 1).count(), 22, "all recordings are there");
    lines
}

/// Without the texts that stand for events.
fn whole(mut value: Value) -> Value {
    match &mut value {
        Value::Array(elements) => {
            elements.retain(|element| !element.as_str().is_some_and(|text| text.contains("more events)")));
            for element in elements {
                *element = whole(element.take());
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| *field = whole(field.take())),
        _ => {}
    }
    value
}

/// The bytes that were sent. What was no JSON is recorded as a string.
fn bytes(said: &Value) -> Vec<u8> {
    said.as_str().map_or_else(|| said.to_string().into_bytes(), |text| text.as_bytes().to_vec())
}

#[test]
fn every_url_is_read() {
    let mut count = 0;
    for line in lines() {
        let request = line.text("line");
        let Some((_, rest)) = request.split_once('?').filter(|_| line.text("kind") == "http-request") else {
            continue;
        };
        let query = SyncQuery::parse(rest.trim_end_matches(" HTTP/1.1")).unwrap();
        let is_bad = ["/?transport=http ", "raw-semantics HTTP", "carrier-pigeon", "payload=nope"];
        if is_bad.iter().any(|part| request.contains(part)) {
            assert!(query.is_err(), "{}", line.place());
            continue;
        }
        let query = query.unwrap();
        assert!(query.store.as_str().contains("cap-"), "{}", line.place());
        assert_eq!(query.payload.is_some(), request.contains("payload="), "{}", line.place());
        count += 1;
    }
    assert!(count > 100, "only {count} URLs were found");
}

/// The scripts that write by hand get something wrong on purpose.
fn is_by_hand(line: &Line) -> bool {
    ["ws-20-raw-semantics", "ws-22-raw-malformed", "http-20-raw-semantics"].contains(&line.file.as_str())
}

#[test]
fn every_frame_of_a_client_is_read() {
    let (mut pulls, mut events, mut others) = (0, 0, 0);
    let lines = lines();
    for (index, line) in lines.iter().enumerate() {
        let Some(said) = line.said("c>s") else { continue };
        for frame in decode_client_frames(&bytes(&said), line.transport()) {
            match frame {
                Ok(ClientFrame::Request(Request { id, call })) => {
                    assert_eq!(serde_json::to_value(&id).unwrap(), said["id"], "{}", line.place());
                    match call {
                        Call::Pull(call) => {
                            let after = &said["payload"]["cursor"]["value"]["eventSequenceNumber"];
                            assert_eq!(call.cursor.after.0, after.as_u64().unwrap_or(0), "{}", line.place());
                            assert_eq!(call.live, said["payload"]["live"] == true, "{}", line.place());
                            pulls += 1;
                        }
                        Call::Push(call) => {
                            let batch = said["payload"]["batch"].as_array().unwrap();
                            assert_eq!(call.events.len(), batch.len(), "{}", line.place());
                            for (event, recorded) in call.events.iter().zip(batch) {
                                let args: Value = event.args.to_value().unwrap();
                                let recorded_args = recorded.get("args").cloned().unwrap_or_default();
                                assert_eq!(args, recorded_args, "{}", line.place());
                                assert_eq!(event.seq.0, recorded["seqNum"], "{}", line.place());
                                assert!(event.unit_end && event.commit.is_none());
                            }
                            events += batch.len();
                        }
                        Call::Ping => others += 1,
                    }
                }
                Ok(_) => others += 1,
                Err(malformed) => {
                    assert!(is_by_hand(line), "{}: {malformed}", line.place());
                    assert_defect_is_as_recorded(&malformed, &lines[index + 1..], line);
                }
            }
        }
    }
    assert_eq!((pulls, events, others), (111, 58, 175), "as many as are in the recordings");
}

/// Where the reference server answered with a defect in words of its own, so does this one. (The words of JavaScript's
/// JSON parser and of Effect's schemas are theirs.)
fn assert_defect_is_as_recorded(malformed: &Malformed, following: &[Line], line: &Line) {
    let mut following = following.iter().filter(|other| other.value["conn"] == line.value["conn"]);
    let answer = following.find_map(|line| line.said("s>c"));
    let recorded = answer.map(|answer| answer.get(0).cloned().unwrap_or(answer));
    let Some(recorded) = recorded.filter(|recorded| recorded["defect"].is_string()) else { return };
    let ours: Value = serde_json::from_slice(&malformed.answer().unwrap().encode()).unwrap();
    assert_eq!(ours, recorded, "{}", line.place());
}

#[test]
fn every_frame_of_a_server_is_read_and_written_again() {
    let mut count = 0;
    for line in lines() {
        let Some(said) = line.said("s>c") else { continue };
        let frames = match said {
            Value::Array(frames) => frames,
            Value::Object(_) => vec![said],
            // The text of an HTTP error, or nothing.
            _ => continue,
        };
        for recorded in frames {
            let frame = ServerFrame::decode(recorded.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}", line.place()));
            count += 1;
            if matches!(&frame, ServerFrame::Exit { exit: Exit::Failed(Failure::Interrupt), .. }) {
                // The reference server's four levels of causes say no more than one.
                continue;
            }
            let written: Value = serde_json::from_slice(&frame.encode()).unwrap();
            assert_eq!(written, with_args(recorded), "{}", line.place());
        }
    }
    assert!(count > 250, "only {count} frames were found");
}

/// Absent args are `null` here, as they are when the reference server reads them back.
fn with_args(mut frame: Value) -> Value {
    for item in frame["values"].as_array_mut().into_iter().flatten() {
        for entry in item["batch"].as_array_mut().into_iter().flatten() {
            entry["eventEncoded"].as_object_mut().unwrap().entry("args").or_insert(Value::Null);
        }
    }
    // Asking for a field that is not there has made one.
    if frame["values"].is_null() {
        frame.as_object_mut().unwrap().remove("values");
    }
    frame
}

/// What 0.4.0 adds for tracing.
fn without_traces(mut said: Value) -> Value {
    if let Some(fields) = said.as_object_mut() {
        fields.retain(|key, _| !["traceId", "spanId", "sampled"].contains(&key.as_str()));
    }
    said
}

#[test]
fn what_a_client_says_is_written_as_recorded() {
    let mut count = 0;
    for line in lines().iter().filter(|line| !is_by_hand(line)) {
        let Some(said) = line.said("c>s").filter(Value::is_object) else { continue };
        let [Ok(frame)] = &decode_client_frames(&bytes(&said), line.transport())[..] else { continue };
        let store = StoreId::new(said["payload"]["storeId"].as_str().unwrap_or("none")).unwrap();
        let payload = said["payload"].get("payload").map(|payload| SyncPayload::new(payload).unwrap());
        let context =
            RequestContext { transport: line.transport(), store: &store, payload: payload.as_ref() };
        let written: Value = serde_json::from_slice(&frame.encode(context)).unwrap();
        assert_eq!(written, without_traces(said), "{}", line.place());
        count += 1;
    }
    assert!(count > 200, "only {count} frames were found");
}

#[test]
fn every_url_is_written_as_recorded() {
    let mut count = 0;
    for line in lines().iter().filter(|line| line.text("kind") == "http-request" && !is_by_hand(line)) {
        let Some(target) = line.text("line").split(' ').nth(1).filter(|target| target.contains('?')) else {
            continue;
        };
        let query = SyncQuery::parse(target.split_once('?').unwrap().1).unwrap().unwrap();
        let payload = query.payload.map(|payload| SyncPayload::new(&payload).unwrap());
        let url = SyncUrl::new(&["http"], "http://a", query.store).unwrap();
        let uri = url.uri(query.transport, payload.as_ref());
        assert_eq!(uri.path_and_query().unwrap().as_str(), target, "{}", line.place());
        count += 1;
    }
    assert!(count > 100, "only {count} URLs were found");
}
