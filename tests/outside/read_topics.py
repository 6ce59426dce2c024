"""Reads what the service wrote, as its users do: with stock clients. Prints a JSON object.

    read_topics.py BROKERS PREFIX APP VIEW DIM MODEL_FILE
"""

import base64
import json
import sys
import time
import uuid

import numpy
from confluent_kafka import Consumer, TopicPartition
from safetensors.numpy import load_file

brokers, prefix, app, view, dim, model_file = sys.argv[1:]
dim = int(dim)


def read(topic, patience_s=30):
    """All committed records of a topic: key, value, headers."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": str(uuid.uuid4()),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    records, ended, until = [], set(), time.time() + patience_s
    while len(ended) < len(partitions) and time.time() < until:
        record = consumer.poll(1)
        if record is None:
            continue
        if record.error():
            ended.add(record.partition())
            continue
        records.append((record.partition(), record.key(), record.value(), record.headers() or []))
    consumer.close()
    assert len(ended) == len(partitions), f"{topic}: the ends of {sorted(ended)} of {sorted(partitions)} were reached"
    return records


windows = [json.loads(value) for _, _, value, _ in read(f"{prefix}features.{view}")]

windows.sort(key=lambda window: window["user_id"])

tables = {}
for partition, key, value, _ in read(f"{prefix}encodings.sdim"):
    encoding = json.loads(value)
    assert key.decode() == encoding["user_id"]
    shape = (encoding["groups"], encoding["buckets"], encoding["dim"])
    tables[key.decode()] = numpy.frombuffer(base64.b64decode(encoding["table"]), "<f2").reshape(shape).astype("f4")
norms = numpy.concatenate([numpy.linalg.norm(table, axis=2).ravel() for table in tables.values()])

dead = [
    {"value": value.decode("utf-8", "replace"), "headers": {name: text.decode() for name, text in headers}}
    for _, _, value, headers in read(f"{prefix}dead-letters")
]

models = read(f"{app}.models")
file = load_file(model_file)

print(json.dumps({
    "windows": windows,
    "users": sorted(tables),
    "norms_off": float(numpy.abs(norms[norms > 0] - 1).max()),
    "rows": int((norms > 0).sum()),
    "dim": tables[sorted(tables)[0]].shape[2],
    "dead": dead,
    "model_records": len(models),
    "tensors": {name: list(tensor.shape) for name, tensor in file.items()},
}))
