// Fills 32 MiB of heap with known bytes, half of it before anything is read or written, and counts
// the bytes that are not as they were at the end.
package main

import (
	"bufio"
	"fmt"
	"os"
)

const (
	count = 64
	size  = 512 * 1024
)

func main() {
	blocks := make([][]byte, count)
	for i := range blocks {
		if i == count/2 {
			lines := 0
			for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
				lines++
			}
			fmt.Println(lines, "lines")
		}
		blocks[i] = make([]byte, size)
		for j := range blocks[i] {
			blocks[i][j] = byte('A' + i%26)
		}
	}
	changed := 0
	for i, block := range blocks {
		for _, found := range block {
			if found != byte('A'+i%26) {
				changed++
			}
		}
	}
	fmt.Println(changed, "bytes changed")
}
