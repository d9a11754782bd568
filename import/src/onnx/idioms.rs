//! Functions that exporters spell out in simpler operators, recognized and put back together.
//!
//! Matching goes from the result back to what it is made of. The node that gives the result becomes
//! one node of the whole function; what only it needed is dropped afterwards as unused.

use std::collections::{BTreeMap, HashMap};

use super::graph::{Graph, Uses};
use super::node::{Attribute, Node};
use super::tensor::{Data, Tensor};

/// How far, of itself, a constant may be from the one that a function has: as far as writers that
/// round to 16 bits go.
const CLOSE: f32 = 1e-3;

/// Replaces what is recognized. Nodes that are no longer needed stay.
pub(super) fn recognize(graph: &mut Graph) {
    let uses = graph.uses();
    for i in 0..graph.nodes.len() {
        let view = View { nodes: &graph.nodes, constants: &graph.constants, uses: &uses };
        let Some((at, function)) = view.function(i) else { continue };
        let node = &mut graph.nodes[at];
        node.op = function.op.to_owned();
        node.inputs = function.inputs;
        node.attributes = function.attributes;
    }
}

/// What a node becomes.
struct Function {
    op: &'static str,
    inputs: Vec<String>,
    attributes: BTreeMap<String, Attribute>,
}

impl Function {
    fn new(op: &'static str, input: &str) -> Self {
        Self { op, inputs: vec![input.to_owned()], attributes: BTreeMap::new() }
    }

    fn with(mut self, name: &str, value: Attribute) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }
}

/// The graph, seen from results to what they are made of.
struct View<'a> {
    nodes: &'a [Node],
    constants: &'a HashMap<String, Tensor>,
    uses: &'a Uses,
}

impl<'a> View<'a> {
    /// The function that ends in node `i`, or a few nodes after it, and where it ends.
    fn function(&self, i: usize) -> Option<(usize, Function)> {
        let node = &self.nodes[i];
        if node.is("Where") {
            return self.softplus(node).map(|function| (i, function));
        }
        if node.is("Add") {
            return self.factored_norm(node).map(|function| (i, function));
        }
        if !node.is("Mul") && !node.is("Div") {
            return None;
        }
        let result = node.outputs.first()?;
        let gates = self.product(result, "").factors;
        let gated = gates
            .iter()
            .find_map(|gate| self.gelu(result, gate, &gates).or_else(|| self.swish(result, gate)));
        match gated.or_else(|| self.softsign(node)) {
            Some(function) => Some((i, function)),
            None => self.layer_norm(i),
        }
    }

    /// `0.5 x (1 + erf(x / sqrt 2))`, or the same with tanh; the sum is the gate.
    fn gelu(&self, result: &'a str, gate: &'a str, factors: &[&'a str]) -> Option<Function> {
        let inner = self.plus(gate, 1.0)?;
        let gates = |x: &&&str| self.product(result, x).is(0.5, &[x, gate]);
        if let Some(erf) = self.giver(inner, "Erf") {
            let argument = self.input(erf, 0)?;
            let scaled = &self.nodes[self.uses.giver(argument)?];
            let scales = |x: &&&str| self.product(argument, x).is(0.5_f32.sqrt(), &[x]);
            let inputs: Vec<_> = scaled.inputs.iter().map(|name| &name[..]).collect();
            let x = inputs.iter().filter(scales).find(gates)?;
            return Some(Function::new("Gelu", x));
        }
        let argument = self.input(self.giver(inner, "Tanh")?, 0)?;
        // x is a factor of the result, or, if it is a product itself, a part of the inner sum.
        let parts = self.product(argument, "").factors.into_iter().filter_map(|f| self.sum(f));
        let candidates: Vec<_> = factors.iter().copied().chain(parts.flatten()).collect();
        let x = candidates.iter().filter(gates).find(|x| self.tanh_argument(argument, x))?;
        Some(Function::new("Gelu", x).with("approximate", Attribute::Text("tanh".to_owned())))
    }

    /// `sqrt(2/pi) (x + 0.044715 x^3)`, with or without x factored out.
    fn tanh_argument(&self, argument: &'a str, x: &'a str) -> bool {
        const CUBIC: f32 = 0.044_715;
        let Product { constant, factors } = self.product(argument, x);
        let rest: Vec<_> = factors.iter().copied().filter(|&f| f != x).collect();
        let [sum] = rest[..] else { return false };
        close(constant, (2.0 / std::f32::consts::PI).sqrt())
            && match factors.len() {
                1 => self.sum(sum).is_some_and(|[a, b]| {
                    a == x && self.product(b, x).is(CUBIC, &[x; 3])
                        || b == x && self.product(a, x).is(CUBIC, &[x; 3])
                }),
                2 => self.plus(sum, 1.0).is_some_and(|f| self.product(f, x).is(CUBIC, &[x; 2])),
                _ => false,
            }
    }

    /// `x / (1 + |x|)`.
    fn softsign(&self, node: &'a Node) -> Option<Function> {
        let x = self.input(node, 0).filter(|_| node.is("Div"))?;
        let size = self.plus(self.input(node, 1)?, 1.0)?;
        let found = self.input(self.giver(size, "Abs")?, 0)? == x;
        found.then(|| Function::new("Softsign", x))
    }

    /// Softplus, but x itself where it is so large that both are the same.
    fn softplus(&self, node: &'a Node) -> Option<Function> {
        const LARGE: f32 = 20.0;
        let x = self.input(node, 1)?;
        let greater = self.giver(self.input(node, 0)?, "Greater")?;
        let softplus = self.giver(self.input(node, 2)?, "Softplus")?;
        let found = self.input(greater, 0)? == x
            && self.constant(self.input(greater, 1)?)? >= LARGE
            && self.input(softplus, 0)? == x;
        found.then(|| Function::new("Softplus", x))
    }

    /// `x sigmoid(x)` and `x tanh(softplus(x))`, and the first with the sigmoid of straight lines.
    fn swish(&self, result: &'a str, gate: &'a str) -> Option<Function> {
        let node = &self.nodes[self.uses.giver(gate)?];
        let input = self.input(node, 0)?;
        let gates = |x, constant| self.product(result, x).is(constant, &[x, gate]);
        if node.is("Sigmoid") && gates(input, 1.0) {
            return Some(Function::new("Swish", input));
        }
        if node.is("Tanh")
            && let Some(softplus) = self.giver(input, "Softplus")
        {
            let x = self.input(softplus, 0)?;
            return gates(x, 1.0).then(|| Function::new("Mish", x));
        }
        if node.is("HardSigmoid") && gates(input, 1.0) {
            let (alpha, beta) = (node.float("alpha", 0.2).ok()?, node.float("beta", 0.5).ok()?);
            let found = close(alpha, 1.0 / 6.0) && beta == 0.5;
            return found.then(|| Function::new("HardSwish", input));
        }
        let x = self.plus(input, 3.0).filter(|x| node.is("Clip") && gates(x, 1.0 / 6.0))?;
        let bound = |i| self.constant(self.input(node, i)?);
        let found = bound(1)? == 0.0 && bound(2)? == 6.0;
        found.then(|| Function::new("HardSwish", x))
    }

    /// `(x - mean) / sqrt(mean of (x - mean)^2 + epsilon)`, and after it a scale and a shift.
    fn layer_norm(&self, i: usize) -> Option<(usize, Function)> {
        let node = &self.nodes[i];
        if !node.is("Div") {
            return None;
        }
        let (centered, deviation) = (self.input(node, 0)?, self.input(node, 1)?);
        let spread = self.spread(deviation)?;
        // Some exporters subtract the mean twice.
        if centered != spread.centered && self.centered(centered, spread.axis)? != spread.x {
            return None;
        }
        let mut function = spread.norm();
        let mut at = i;
        for op in ["Mul", "Add"] {
            match self.next_with_vector(at, op) {
                Some((next, vector)) => {
                    at = next;
                    function.inputs.push(vector);
                }
                None => break,
            }
        }
        Some((at, function))
    }

    /// The same as Keras writes it: `x s + (b - mean s)`, where `s = gain / deviation`.
    fn factored_norm(&self, node: &'a Node) -> Option<Function> {
        let result = node.outputs.first()?;
        both(self.sum(result)?).into_iter().find_map(|[scaled, shift]| {
            let factors = both(self.pair(scaled, "Mul")?).into_iter();
            factors.clone().find_map(|[x, scale]| {
                let gained = self.pair(scale, "Mul").map(both).into_iter().flatten();
                let gained = gained.filter(|[gain, _]| self.is_vector(gain));
                let [gain, inverse] = gained.chain([["", scale]]).next()?;
                let inverse = self.giver(inverse, "Reciprocal")?;
                let spread = self.spread(self.input(inverse, 0)?).filter(|s| s.x == x)?;
                let biased = self.sum(shift).map(both).into_iter().flatten();
                let biased = biased.filter(|[bias, _]| self.is_vector(bias));
                let [bias, moved] = biased.chain([["", shift]]).next()?;
                let moved = both(self.pair(moved, "Mul")?).into_iter().any(|[minus, by]| {
                    let mean = self.giver(minus, "Neg").and_then(|minus| self.input(minus, 0));
                    by == scale && mean.and_then(|m| self.mean(m)) == Some((x, spread.axis))
                });
                let mut function = moved.then(|| spread.norm())?;
                function.inputs.extend([gain.to_owned(), bias.to_owned()]);
                Some(function)
            })
        })
    }

    /// What a value is `sqrt(mean of (x - mean)^2 + epsilon)` of.
    fn spread(&self, deviation: &str) -> Option<Spread<'a>> {
        let variance = self.input(self.giver(deviation, "Sqrt")?, 0)?;
        let parts = both(self.sum(variance)?).into_iter();
        let (variance, epsilon) =
            parts.filter_map(|[v, epsilon]| Some((v, self.constant(epsilon)?))).next()?;
        let (square, axis) = self.mean(variance)?;
        let centered = match self.giver(square, "Pow") {
            Some(power) if self.constant(self.input(power, 1)?) == Some(2.0) => {
                self.input(power, 0)?
            }
            Some(_) => return None,
            None => {
                let [a, b] = self.pair(square, "Mul")?;
                (a == b).then_some(a)?
            }
        };
        Some(Spread { x: self.centered(centered, axis)?, centered, axis, epsilon })
    }

    /// The x of which a value is `x - mean(x)`.
    fn centered(&self, name: &str, axis: i64) -> Option<&'a str> {
        let difference = self.giver(name, "Sub")?;
        let x = self.input(difference, 0)?;
        (self.mean(self.input(difference, 1)?)? == (x, axis)).then_some(x)
    }

    /// What a value is the mean of, and along which axis.
    fn mean(&self, name: &str) -> Option<(&'a str, i64)> {
        let node = self.giver(name, "ReduceMean")?;
        let axes = match node.ints("axes").ok()? {
            Some(axes) => axes.to_vec(),
            None => self.constants.get(node.optional(1)?)?.ints().ok()?,
        };
        match axes[..] {
            [axis] if node.int("keepdims", 1).ok()? == 1 => Some((self.input(node, 0)?, axis)),
            _ => None,
        }
    }

    /// The node that alone takes what node `i` gives, if it is `op` with a constant of one
    /// dimension; and that constant.
    fn next_with_vector(&self, i: usize, op: &str) -> Option<(usize, String)> {
        let name = self.nodes[i].outputs.first()?;
        let at = self.uses.only_taker(name)?;
        let next = &self.nodes[at];
        let [a, b] = &next.inputs[..] else { return None };
        let other = if a == name { b } else { a };
        (next.is(op) && self.is_vector(other)).then(|| (at, other.clone()))
    }

    /// Whether a name stands for a constant of one dimension, but for some that are 1.
    fn is_vector(&self, name: &str) -> bool {
        let shape = self.constants.get(name).and_then(|constant| constant.shape.split_last());
        shape.is_some_and(|(_, before)| before.iter().all(|&d| d == 1))
    }

    /// The node that gives a value, if it is that operator.
    fn giver(&self, name: &str, op: &str) -> Option<&'a Node> {
        let node = &self.nodes[self.uses.giver(name)?];
        node.is(op).then_some(node)
    }

    fn input(&self, node: &'a Node, i: usize) -> Option<&'a str> {
        node.optional(i)
    }

    /// The only element of a constant.
    fn constant(&self, name: &str) -> Option<f32> {
        match &self.constants.get(name)?.data {
            Data::F32(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// The parts of a sum of two.
    fn sum(&self, name: &str) -> Option<[&'a str; 2]> {
        self.pair(name, "Add")
    }

    /// The two inputs of the operator that gives a value.
    fn pair(&self, name: &str, op: &str) -> Option<[&'a str; 2]> {
        let node = self.giver(name, op)?;
        Some([self.input(node, 0)?, self.input(node, 1)?])
    }

    /// What a value is the sum of, besides this constant.
    fn plus(&self, name: &str, constant: f32) -> Option<&'a str> {
        let [a, b] = self.sum(name)?;
        let is = |name| self.constant(name) == Some(constant);
        if is(a) { Some(b) } else { is(b).then_some(a) }
    }

    /// What a value is the product of, through a few multiplications, powers, and divisions by
    /// constants, none of which is the one that gives `stop`.
    fn product(&self, name: &'a str, stop: &str) -> Product<'a> {
        let mut product = Product { constant: 1.0, factors: Vec::new() };
        self.multiply(name, stop, 4, &mut product);
        product
    }

    fn multiply(&self, name: &'a str, stop: &str, depth: usize, product: &mut Product<'a>) {
        if let Some(constant) = self.constant(name) {
            product.constant *= constant;
            return;
        }
        let node = self.uses.giver(name).map(|i| &self.nodes[i]);
        let node = node.filter(|node| depth > 0 && name != stop && node.domain.is_empty());
        let Some((node, [a, b])) = node.and_then(|node| match &node.inputs[..] {
            [a, b] => Some((node, [a, b])),
            _ => None,
        }) else {
            product.factors.push(name);
            return;
        };
        match (&node.op[..], self.constant(b)) {
            ("Mul", _) => {
                self.multiply(a, stop, depth - 1, product);
                self.multiply(b, stop, depth - 1, product);
            }
            ("Div", Some(b)) => {
                product.constant /= b;
                self.multiply(a, stop, depth - 1, product);
            }
            ("Pow", Some(2.0)) => product.factors.extend([&a[..]; 2]),
            ("Pow", Some(3.0)) => product.factors.extend([&a[..]; 3]),
            _ => product.factors.push(name),
        }
    }
}

/// The standard deviation of x along an axis, with what it is made of.
struct Spread<'a> {
    x: &'a str,
    centered: &'a str,
    axis: i64,
    epsilon: f32,
}

impl Spread<'_> {
    /// The layer normalization of x.
    fn norm(&self) -> Function {
        Function::new("LayerNormalization", self.x)
            .with("epsilon", Attribute::Float(self.epsilon))
            .with("axis", Attribute::Int(self.axis))
    }
}

/// A pair in both orders.
fn both([a, b]: [&str; 2]) -> [[&str; 2]; 2] {
    [[a, b], [b, a]]
}

/// A product: a constant, and the values that are multiplied.
struct Product<'a> {
    constant: f32,
    factors: Vec<&'a str>,
}

impl Product<'_> {
    /// Whether it is the product of this constant and these values, in any order.
    fn is(&self, constant: f32, factors: &[&str]) -> bool {
        let (mut found, mut expected) = (self.factors.clone(), factors.to_vec());
        found.sort_unstable();
        expected.sort_unstable();
        close(self.constant, constant) && found == expected
    }
}

fn close(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= CLOSE * expected.abs()
}
