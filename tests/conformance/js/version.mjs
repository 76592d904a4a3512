// SPDX-License-Identifier: Apache-2.0
//
// Says which node runs these programs.
console.log(JSON.stringify({ node: process.version }));
