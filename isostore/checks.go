package isostore

import (
	"fmt"
	"path"
	"slices"
	"time"
)

// A CheckState says how far the content of an image is checked.
type CheckState string

// States of checks.
const (
	Unchecked CheckState = "unchecked" // there is a checksum, not compared yet
	Checking  CheckState = "checking"
	Passed    CheckState = "ok"
	Failed    CheckState = "failed"
	NoSum     CheckState = "none" // there is no checksum, or not for all files
)

// Checks say whether an image has the content that its checksums say.
type Checks struct {
	State  CheckState `json:"state"`
	By     []string   `json:"by,omitempty"`     // files of checksums, and implantisomd5
	Detail string     `json:"detail,omitempty"` // what failed, or is missing
	SHA256 string     `json:"sha256,omitempty"` // of the image's own file, when known
	When   time.Time  `json:"when,omitzero"`    // when it was read
	Done   int64      `json:"done,omitempty"`   // bytes read, while State is Checking
	Total  int64      `json:"total,omitempty"`
}

// implantName is what Checks.By has for a checksum inside the image.
const implantName = "implantisomd5"

// compare says how k, which may be nil, stands to the checksums of an image and
// its companions: sums returns those of a file.
func compare(k *known, name string, sums func(file string) []sum) Checks {
	c := Checks{State: NoSum}
	if k == nil {
		if list, _ := usable(sums(name)); len(list) > 0 {
			c.State, c.By = Unchecked, names(list)
		}
		return c
	}
	c.SHA256, c.When = k.digest("", algSHA256), k.Checked
	files := []string{""}
	for _, f := range k.Companions {
		files = append(files, f.Name)
	}
	var failed, bare, unchecked, empty []string
	for _, f := range files {
		file := name
		if f != "" {
			file = besides(name, f)
		}
		list, none := usable(sums(file))
		empty = append(empty, none...)
		if len(list) == 0 {
			bare = append(bare, path.Base(file))
		}
		c.By = append(c.By, names(list)...)
		for _, s := range list {
			switch k.digest(f, s.alg) {
			case s.hex:
			case "":
				unchecked = append(unchecked, path.Base(file))
			default:
				failed = append(failed, fmt.Sprintf("%s is not what %s says", path.Base(file), s.from))
			}
		}
	}
	if im := k.Implant; im != nil {
		c.By = append(c.By, implantName)
		bare = nil // it covers the disc, whatever files that is in
		switch {
		case !im.Done:
			unchecked = append(unchecked, path.Base(name))
		case !im.OK:
			failed = append(failed, "the disc is not what "+implantName+" wrote into it")
		}
	}
	slices.Sort(c.By)
	c.By = slices.Compact(c.By)
	switch {
	case len(failed) > 0:
		c.State, c.Detail = Failed, failed[0]
	case len(c.By) == 0 && len(empty) > 0:
		c.Detail = fmt.Sprintf("%s has no checksum of it", path.Base(empty[0]))
	case len(c.By) == 0:
	case len(bare) > 0:
		c.Detail = "no checksum for " + bare[0]
	case len(unchecked) > 0:
		c.State = Unchecked
	default:
		c.State = Passed
	}
	return c
}

func names(list []sum) (from []string) {
	for _, s := range list {
		from = append(from, s.from)
	}
	return from
}
