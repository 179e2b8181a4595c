//go:build tools

// Package prometheus pins the Prometheus that e2e/dashboards.sh asks the dashboards' queries.
package prometheus

import _ "github.com/prometheus/prometheus/cmd/prometheus"
