# src/admin/page/* becomes C arrays (struct in src/admin/admin_priv.h): a node serves its status page from its own memory.
file(GLOB PH_PAGE CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/admin/page/*)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/page_files.c
	COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/page_to_c.py ${CMAKE_SOURCE_DIR}/src/admin/page ${CMAKE_BINARY_DIR}/page_files.c
	DEPENDS ${PH_PAGE} ${CMAKE_SOURCE_DIR}/cmake/page_to_c.py
	COMMENT "Status page to C")
target_sources(ph_admin PRIVATE ${CMAKE_BINARY_DIR}/page_files.c)
target_include_directories(ph_admin PRIVATE ${CMAKE_SOURCE_DIR}/src)
