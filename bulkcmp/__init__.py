"""bulkcmp: enroll populations of end entities over CMP, and measure the CA that serves them."""
