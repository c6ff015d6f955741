"""Measurements of a control plane under load: a thousand simulated slots speak the wire protocol to a real one."""
