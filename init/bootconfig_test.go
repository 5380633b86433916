package main

import (
	"testing"

	"dipper/appliance/config"
	"dipper/init/bootconfig"
)

// TestLargestBootConfig lets a machine boot with all that it may be configured
// with. The two packages do not know each other.
func TestLargestBootConfig(t *testing.T) {
	if bootconfig.MaxSize != config.MaxSize {
		t.Errorf("a boot config may have %d bytes, and a configuration %d", bootconfig.MaxSize, config.MaxSize)
	}
}
