//! Real nats-servers on free loopback ports.
