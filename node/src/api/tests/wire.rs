//! Nothing is lost between the wire and the domain.
