"""Networks of scikit-learn, as skl2onnx writes them."""

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits, make_regression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

ROWS = 20


def digits(classes=10):
    x, y = load_digits(n_class=classes, return_X_y=True)
    return (x / 16).astype(np.float32), y


def classifier(hidden, activation, classes=10, scaler=None, labels=None):
    x, y = digits(classes)
    y = y if labels is None else np.array(labels)[y]
    net = MLPClassifier(hidden_layer_sizes=hidden, activation=activation, max_iter=3, random_state=1)
    return fit(net, x, y, scaler)


def regressor(hidden, activation, targets=1, scaler=None):
    x, y = make_regression(500, 19, n_targets=targets, random_state=1)
    net = MLPRegressor(hidden_layer_sizes=hidden, activation=activation, max_iter=3, random_state=1)
    return fit(net, x.astype(np.float32), y / 100, scaler)


def fit(net, x, y, scaler):
    if scaler is not None:
        net = make_pipeline(scaler, net)
    return net.fit(x, y), x[:ROWS]


def networks():
    """Triples of a name, a function that makes the network and its inputs, and skl2onnx's options."""
    for activation in ("relu", "tanh", "logistic", "identity"):
        yield f"classifier-{activation}", lambda a=activation: classifier((32, 16), a), {"zipmap": False}
        yield f"regressor-{activation}", lambda a=activation: regressor((32,), a), {}
    yield "classifier-zipmap", lambda: classifier((32,), "relu"), {}
    yield "classifier-columns", lambda: classifier((32,), "relu"), {"zipmap": "columns"}
    yield "classifier-binary", lambda: classifier((16,), "relu", classes=2), {"zipmap": False}
    yield "classifier-binary-zipmap", lambda: classifier((16,), "relu", classes=2), {}
    yield "classifier-strings", lambda: classifier((16,), "relu", 3, labels=["a", "b", "c"]), {"zipmap": False}
    yield "classifier-labels", lambda: classifier((16,), "relu", 3, labels=[5, 7, 9]), {"zipmap": False}
    yield "classifier-standard", lambda: classifier((32,), "relu", scaler=StandardScaler()), {"zipmap": False}
    yield "classifier-min-max", lambda: classifier((32,), "tanh", scaler=MinMaxScaler()), {"zipmap": False}
    yield "regressor-standard", lambda: regressor((32, 16), "relu", scaler=StandardScaler()), {}
    yield "regressor-min-max", lambda: regressor((32,), "relu", scaler=MinMaxScaler()), {}
    yield "regressor-two", lambda: regressor((32,), "relu", targets=2), {}


def tolerance(name):
    """How far outputs may be off, of the largest in an array: sums of floats in another order."""
    return 2e-6


def cases(folder):
    """Names of networks and their inputs; a network is written to NAME.onnx."""
    for name, make, options in networks():
        net, x = make()
        last = net[-1] if hasattr(net, "steps") else net
        model = to_onnx(net, x[:1], options={id(last): options} if options else None)
        name = f"sklearn-{name}"
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        yield name, [x]
