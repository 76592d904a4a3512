# llhttp: Debian 13 packages it as a library; Debian 12 ships its C sources inside node-llhttp, compiled here.
find_path(LLHTTP_INCLUDE llhttp.h PATH_SUFFIXES llhttp PATHS /usr/share/include)
find_library(LLHTTP_LIBRARY NAMES llhttp)
set(LLHTTP_SOURCES /usr/share/llhttp CACHE PATH "llhttp's C sources, where there is no library")

if(LLHTTP_INCLUDE AND LLHTTP_LIBRARY)
	add_library(ph_llhttp INTERFACE)
	target_link_libraries(ph_llhttp INTERFACE ${LLHTTP_LIBRARY})
	target_include_directories(ph_llhttp SYSTEM INTERFACE ${LLHTTP_INCLUDE})
elseif(LLHTTP_INCLUDE AND EXISTS ${LLHTTP_SOURCES}/llhttp.c)
	add_library(ph_llhttp STATIC ${LLHTTP_SOURCES}/llhttp.c ${LLHTTP_SOURCES}/http.c ${LLHTTP_SOURCES}/api.c)
	target_include_directories(ph_llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE})
	target_compile_options(ph_llhttp PRIVATE -w)
else()
	message(FATAL_ERROR "llhttp not found: install libllhttp-dev (Debian 13, Ubuntu 24.10 and later) or node-llhttp "
		"(Debian 12, Ubuntu 24.04)")
endif()
