graph [
  node [
    id 0
    label "Oslo"
  ]
  node [
    id 1
    label "Bergen"
  ]
  node [
    id 2
    label "Voss"
  ]
  edge [
    source 0
    target 1
    weight 7.5
  ]
  edge [
    source 0
    target 2
    weight 3.0
  ]
  edge [
    source 1
    target 2
    weight 1.25
  ]
]
