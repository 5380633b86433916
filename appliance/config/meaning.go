package config

// Meaning says in a few words what a choice means, "" of one that says it
// itself.
func (s Schema) Meaning(word string) string {
	meanings := map[string]map[string]string{
		"scheduler": {
			"rr":    "each real server in turn",
			"wrr":   "in turn, as often as their weights say",
			"lc":    "the one with fewest connections",
			"wlc":   "fewest connections in proportion to the weight",
			"sed":   "shortest expected delay",
			"nq":    "an idle one first, then shortest expected delay",
			"lblc":  "by destination, for caches; leaves an overloaded one",
			"lblcr": "by destination, for caches; sets of real servers",
			"dh":    "the same one for the same destination",
			"sh":    "the same one for the same client",
			"mh":    "the same one for the same client, by Maglev's table",
			"fo":    "the highest weight alone",
			"ovf":   "the highest weight until it is full, then the next",
			"twos":  "the better of two that are drawn by chance",
			"none":  "nowhere: only synchronised connections go on",
		},
		"forward": {
			"dr":  "direct routing: another MAC address, replies go past the director",
			"nat": "other addresses: replies come back through the director",
			"tun": "wrapped into a tunnel, replies go past the director",
		},
		"on-down": {
			"drain": "no new connections; those that are there go on",
			"reset": "it is deleted, and its connections end",
			"keep":  "it stays as it is",
		},
		"drift": {
			"repair": "put the table back",
			"adopt":  "take them over into the running configuration",
			"report": "only log them",
		},
	}
	return meanings[s.Name][word]
}
