"""The gRPC server.

The way of a prediction, file by file; `views/` is a room of `staunch_features`::

    Predict(customer_id = 42)
        │
        ▼
    transport/aio.py          bytes in, bytes out; nothing behind it knows the gRPC library
        │
        ▼
    transport/guard.py        what each message passes, as one list: size, access (to come), parsing, time;
        │                     every error becomes one status with one reason; events.py tells metrics and log
        ▼
    services/predict.py       message in, message out
        │
        ▼
    models/registry.py        "churn", "churn@3", "churn@champion": which proven version answers
        │
        ▼
    services/request.py       whom, as of when, which values to replace
        │
        ▼
    models/coalescer.py       joins the callers that wait while the last batch is in flight; no timer: a lone
        │                     call never waits
        ▼
    models/view_health.py     the SQL text that the version was trained on, seen to fit this database
        │
        ▼
    models/bad_rows.py        one customer whose data make the text fail does not fail the others
        │
        ▼                                                                 ┌────────────┐
    views/source.py           ONE statement for the whole batch  ────────▶│ PostgreSQL │
        │                     float64 matrix, as of one moment   ◀────────│ as reader  │
        ▼                                                                 └────────────┘
    models/served.py          one ONNX run: margins, probabilities; for Explain a second graph, exact SHAP
        │
        ▼
    services/answer.py        each caller gets its row, or its own error

Who makes all of this: `process/server.py`, the one place where parts are put together. What passes from one
station to the next: `types.py`. What can go wrong, and how callers are told: `errors.py`. Until when:
`deadlines.py`. What others hear of: `events.py`. Who may call: `access/`, to come; the guard asks it of each
call and stream before a word is read, and the transport gets its certificates from the composition root.
"""
