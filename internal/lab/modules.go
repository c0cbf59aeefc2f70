package lab

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A module is a kernel module to load: the path of its file and its parameters.
type module struct {
	name, path, params string
}

// normal is a module's name as the kernel compares it.
func normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// moduleIndex is every module of the unpacked kernel, by normal name; those built
// into the kernel have an empty path. The package has no modules.dep: depmod makes
// that at installation, so dependencies are read from the files themselves.
var moduleIndex = sync.OnceValues(func() (map[string]string, error) {
	root, err := cached("kernel.modules")
	if err != nil {
		return nil, err
	}
	index := make(map[string]string)
	builtin, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(builtin)) {
		index[normal(strings.TrimSuffix(filepath.Base(strings.TrimSpace(line)), ".ko"))] = ""
	}
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok && err == nil {
			index[normal(name)] = path
		}
		return err
	})
	return index, err
})

// resolve returns the modules to load, dependencies first, for a list of names,
// each followed by its parameters ("usb-storage delay_use=0").
func resolve(list []string) ([]module, error) {
	index, err := moduleIndex()
	if err != nil {
		return nil, err
	}
	params := make(map[string]string)
	for _, entry := range list {
		name, p, _ := strings.Cut(entry, " ")
		params[normal(name)] = p
	}
	var order []module
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		name = normal(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		path, ok := index[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		if path == "" {
			return nil
		}
		deps, err := depends(path)
		if err != nil {
			return err
		}
		for _, dep := range deps {
			if err := add(dep); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		order = append(order, module{name, path, params[name]})
		return nil
	}
	for _, entry := range list {
		name, _, _ := strings.Cut(entry, " ")
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// depends reads the names that a module file says it depends on. Soft
// dependencies are not followed: a guest lists what it wants of them.
func depends(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s: no .modinfo section", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if deps, ok := strings.CutPrefix(field, "depends="); ok && deps != "" {
			return strings.Split(deps, ","), nil
		}
	}
	return nil, nil
}
