//! What operations need of the gradient tape that the framework does not offer: any number of arguments ([`arguments`]) and of
//! results ([`results`]), and both as one argument of a backend's extension ([`list`]).

pub(crate) mod arguments;
pub(crate) mod list;
pub(crate) mod results;
