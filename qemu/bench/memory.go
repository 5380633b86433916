package bench

import (
	"fmt"
	"regexp"
	"strconv"
)

// Memory is in KiB. Used is what the machine was given minus what Linux could
// still hand out without swapping (proc(5), MemAvailable): programs, kernel,
// and what the kernel never showed.
type Memory struct {
	Given     int `json:"given"`
	Total     int `json:"mem_total"`
	Available int `json:"mem_available"`
	Used      int `json:"used"`
}

var (
	memTotal     = regexp.MustCompile(`MemTotal: +(\d+) kB`)
	memAvailable = regexp.MustCompile(`MemAvailable: +(\d+) kB`)
)

// parseMemory reads /proc/meminfo of a machine with so many MiB.
func parseMemory(meminfo string, given int) (Memory, error) {
	m := Memory{Given: given << 10}
	for pattern, value := range map[*regexp.Regexp]*int{memTotal: &m.Total, memAvailable: &m.Available} {
		found := pattern.FindStringSubmatch(meminfo)
		if found == nil {
			return m, fmt.Errorf("meminfo: no %q", pattern)
		}
		number, err := strconv.Atoi(found[1])
		if err != nil {
			return m, fmt.Errorf("meminfo: %w", err)
		}
		*value = number
	}
	m.Used = m.Given - m.Available
	return m, nil
}
